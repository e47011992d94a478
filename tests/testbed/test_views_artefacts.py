"""The artefacts: everything that was generated can be seen, and no secret."""

import asyncio
import html
import io
import json
import re
import tarfile
import zipfile
from typing import cast

import pycdlib
import pytest
from django.http import StreamingHttpResponse
from django.test import Client

from orchestration.hosts import Host, Hosts
from orchestration.instructions.base import Command, Options, Resource, Task
from orchestration.instructions.prepare import generate_artefacts
from orchestration.state.model import GoldenState
from orchestration.transport.base import Scope
from testbed.models import Testbed
from testbed.services.planning import prepare
from tests.testbed.conftest import YAML

ARTEFACTS = "/testbeds/lab/artefacts/"
PASSWORD = "correct horse battery\nstaple"
SECRETIVE = YAML.replace(
    "cloud_image: {name: cirros_0_6_2}",
    "cloud_image:\n          name: cirros_0_6_2\n"
    f"          environment: {{DB_PASSWORD: {json.dumps(PASSWORD)}, MODE: quiet-mode}}\n"
    "          context: ctx\n"
    "          setup_script: ./a.sh",
)
SCRIPT = "#!/bin/sh\necho set up\n"


@pytest.fixture
def generated(testbed: Testbed) -> Testbed:
    """A testbed whose artefacts are written, as Generate does it."""
    testbed.project.yaml.write_text(SECRETIVE)
    testbed.project.file("a.sh").write_text(SCRIPT)
    testbed.project.file("ctx/inner").mkdir(parents=True)
    testbed.project.file("ctx/inner/page.html").write_text("<h1>hello</h1>")
    testbed.project.file("ctx/link").symlink_to("inner/page.html")
    state, _ = prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    for guest in state.guests:
        task = Task(
            index=0,
            resource=Resource(guest.name, "main", guest.name),
            state=state,
            project=testbed.project,
            options=Options(),
            host=cast(Host, None),
            hosts=cast(Hosts, None),
            scope=Scope(),
            sink=lambda event: None,
        )
        generate_artefacts(task)
    return testbed


def archive_of(browser: Client) -> dict[str, bytes]:
    """Download everything, as a browser does."""
    answer = browser.get("/testbeds/lab/artefacts.zip")
    assert isinstance(answer, StreamingHttpResponse)
    assert answer["Content-Disposition"].endswith('filename="lab-artefacts.zip"')

    async def collect() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    with zipfile.ZipFile(io.BytesIO(asyncio.run(collect()))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def on_seed(testbed: Testbed, name: str) -> bytes:
    """Read a file of web's seed image."""
    iso, buffer = pycdlib.PyCdlib(), io.BytesIO()
    iso.open(str(testbed.project.artefacts / "web-seed.iso"))
    iso.get_file_from_iso_fp(buffer, joliet_path=f"/{name}")
    iso.close()
    return buffer.getvalue()


def test_archive_holds_everything_in_its_place(browser: Client, generated: Testbed):
    found = archive_of(browser)

    per_guest = {
        f"lab-artefacts/guests/{guest}/{name}"
        for guest in ("web", "db")
        for name in (
            "domain.xml",
            "seed/meta-data",
            "seed/user-data",
            "seed/network-config",
            "seed/contents.txt",
            "seed/context.tar",
            "scripts/a.sh",
            "host-key.pub",
        )
    }
    assert per_guest < set(found)
    assert {"lab-artefacts/state.json", "lab-artefacts/plan-up.txt"} < set(found)
    assert "lab-artefacts/networks/main-lab-nat.xml" in found
    xml = generated.project.artefacts / "web-domain.xml"
    assert found["lab-artefacts/guests/web/domain.xml"] == xml.read_bytes()


def test_no_way_leads_to_a_private_key_or_password(browser: Client, generated: Testbed):
    keys = [generated.project.identity_file.read_text().splitlines()[1]]
    for file in generated.project.artefacts.glob("*-host-key"):
        keys += file.read_text().splitlines()[1:-1]

    archive = archive_of(browser)
    texts = [content.decode() for content in archive.values()]
    for name in archive:
        short = name.removeprefix("lab-artefacts/")
        texts.append(browser.get(f"{ARTEFACTS}{short}").content.decode())
        texts.append(browser.get(ARTEFACTS, {"show": short}).content.decode())

    assert len(keys) >= 5
    assert len(texts) == 3 * len(archive)
    for text in texts:
        assert not [key for key in keys if key in text]
        assert "BEGIN OPENSSH PRIVATE KEY" not in text
        assert "battery" not in text
    assert any("quiet-mode" in text for text in texts)


@pytest.mark.parametrize(
    "name",
    [
        "guests/web/seed.iso",
        "guests/web/host-key",
        "guests/web/web-host-key",
        "web-host-key",
        "../keys/id_ed25519",
        "guests/web/../../../keys/id_ed25519",
        "guests/nobody/domain.xml",
        "guests",
    ],
)
def test_nothing_else_is_sent(browser: Client, generated: Testbed, name: str):
    answers = [
        browser.get(f"{ARTEFACTS}{name}"),
        browser.get(ARTEFACTS, {"show": name}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]


def test_seed_is_shown_as_it_was_written(browser: Client, generated: Testbed):
    user_data = browser.get(f"{ARTEFACTS}guests/web/seed/user-data").content.decode()
    config = browser.get(f"{ARTEFACTS}guests/web/seed/network-config").content
    meta = browser.get(f"{ARTEFACTS}guests/web/seed/meta-data").content
    shown = browser.get(ARTEFACTS, {"show": "guests/web/seed/user-data"})

    data = json.loads(user_data.removeprefix("#cloud-config\n"))
    guest = generated.project.read_state().guest("web")
    assert data["hostname"] == guest.domain
    assert data["ssh_keys"]["ed25519_private"] == "(the private host key is not shown)"
    assert "MODE=quiet-mode" in str(data["write_files"])
    assert config == on_seed(generated, "network-config")
    assert meta == on_seed(generated, "meta-data")
    written = json.loads(on_seed(generated, "user-data").split(b"\n", 1)[1])
    assert data.keys() == written.keys()
    assert data["users"] == written["users"]
    assert "on web-seed.iso" in shown.content.decode()


def test_context_is_listed_and_downloaded_as_it_is_on_the_seed(
    browser: Client, generated: Testbed
):
    generated.project.file("ctx/inner/page.html").write_text("edited since")

    shown = browser.get(ARTEFACTS, {"show": "guests/web/seed/context.tar"})
    answer = browser.get(f"{ARTEFACTS}guests/web/seed/context.tar")

    page = html.unescape(shown.content.decode())
    assert "-rw-r--r--         14 inner/page.html" in page
    assert "lrwxr-xr-x          0 link -> inner/page.html" in page
    assert "As text" not in page
    header = answer["Content-Disposition"]
    assert header == 'attachment; filename="lab-guests-web-seed-context.tar"'
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        stream = archive.extractfile("inner/page.html")
        assert stream
        assert stream.read() == b"<h1>hello</h1>"


def test_page_says_what_is_on_a_seed_and_what_is_kept_back(
    browser: Client, generated: Testbed
):
    url = f"{ARTEFACTS}guests/web/seed/contents.txt"
    text = browser.get(url).content.decode()

    seed = generated.project.artefacts / "web-seed.iso"
    assert f"web-seed.iso: a read-only disk labelled cidata, {seed.stat().st_size}" in (
        text
    )
    for name in ("context.tar", "meta-data", "network-config", "user-data"):
        size = len(on_seed(generated, name))
        assert re.search(rf"^ +{size}  {name} ", text, re.M)
    assert "inner/page.html" in text
    assert "- the private host key" in text
    assert "- the values of DB_PASSWORD, by their names" in text
    assert "hash of the guest's password" not in text


def test_script_is_the_one_that_up_runs(browser: Client, generated: Testbed):
    url = f"{ARTEFACTS}guests/web/scripts/a.sh"

    before = browser.get(url).content.decode()
    generated.project.file("a.sh").write_text("#!/bin/sh\necho mended\n")
    after = browser.get(url).content.decode()
    generated.project.file("a.sh").unlink()
    gone = browser.get(url).status_code
    (generated.project.files / "a.sh").symlink_to(generated.project.identity_file)
    outside = browser.get(url).status_code

    assert before == SCRIPT
    assert "mended" in after
    assert [gone, outside] == [404, 404]


def test_seed_that_cannot_be_read_is_said(browser: Client, generated: Testbed):
    (generated.project.artefacts / "web-seed.iso").write_bytes(b"no ISO")

    name = "guests/web/seed/contents.txt"
    answers = [
        browser.get(ARTEFACTS, {"show": name}),
        browser.get(f"{ARTEFACTS}{name}"),
    ]

    for answer in answers:
        assert "web-seed.iso cannot be read" in answer.content.decode()
        assert "Generate the artefacts again." in answer.content.decode()
    assert (
        b"web-seed.iso cannot be read" in archive_of(browser)[f"lab-artefacts/{name}"]
    )


def test_one_is_downloaded_under_its_testbeds_name(browser: Client, generated: Testbed):
    answer = browser.get(f"{ARTEFACTS}guests/web/domain.xml?download")

    header = answer["Content-Disposition"]
    assert header == 'attachment; filename="lab-guests-web-domain.xml"'


def test_password_in_a_domain_is_hidden(browser: Client, generated: Testbed):
    xml = generated.project.artefacts / "web-domain.xml"
    graphics = "<graphics passwd='open-sesame'/>"
    xml.write_text(xml.read_text().replace("</devices>", f"{graphics}</devices>"))

    text = browser.get(f"{ARTEFACTS}guests/web/domain.xml").content.decode()

    assert "open-sesame" not in text
    assert 'passwd="(hidden)"' in text


def test_hash_of_a_guests_password_is_hidden(browser: Client, generated: Testbed):
    state = generated.project.read_state()
    hashed = {"password_hash": "$6$salt$digest"}
    guests = tuple(guest.model_copy(update=hashed) for guest in state.guests)
    generated.project.write_state(state.model_copy(update={"guests": guests}))

    user_data = browser.get(f"{ARTEFACTS}guests/web/seed/user-data").content.decode()
    everything = b"".join(archive_of(browser).values())

    assert '"hashed_passwd": "(hidden)"' in user_data
    assert b"$6$salt$digest" not in everything


@pytest.mark.parametrize("is_started", [True, False])
def test_golden_image_has_artefacts_when_it_is_started(
    browser: Client, generated: Testbed, *, is_started: bool
):
    state = generated.project.read_state()
    web, db = state.guests
    db = db.model_copy(update={"password_hash": "$6$salt$digest"})
    if not is_started:
        db = db.model_copy(update={"setup_script": None})
    golden = GoldenState(guest=db, image=db.image)
    changed = {"guests": (web,), "goldens": (golden,)}
    generated.project.write_state(state.model_copy(update=changed))

    archive = archive_of(browser)
    page = browser.get(ARTEFACTS).content.decode()

    assert ("lab-artefacts/guests/db/domain.xml" in archive) is is_started
    assert ("guests/db/domain.xml" in page) is is_started
    shown = archive["lab-artefacts/state.json"].decode()
    assert "db" in shown
    assert "battery" not in shown
    assert "$6$salt$digest" not in shown


def test_page_says_what_was_not_generated_yet(browser: Client, testbed: Testbed):
    empty = browser.get(ARTEFACTS).content.decode()
    archive = browser.get("/testbeds/lab/artefacts.zip")
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    begun = browser.get(ARTEFACTS).content.decode()

    assert "Nothing is generated yet." in empty
    assert 'value="generate-artefacts"' in empty
    assert archive.status_code == 404
    assert begun.count("not generated yet") == 2
    assert "plan-up.txt" in begun


def test_broken_state_is_said(browser: Client, testbed: Testbed):
    testbed.project.state_file.write_text("{")

    answer = browser.get(ARTEFACTS)

    assert answer.status_code == 200
    assert "state.json of this testbed cannot be read" in answer.content.decode()
