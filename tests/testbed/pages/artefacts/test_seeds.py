"""Seed images are shown as they were written: their files, the script and the context.

A seed that cannot be read is said to be so.
"""

import html
import io
import json
import tarfile

from django.test import Client

from testbed.models import Testbed
from tests.testbed.pages.artefacts.downloads import (
    ARTEFACTS,
    archive_of,
    on_seed,
)


def test_seed_is_shown_as_it_was_written(browser: Client, generated: Testbed):
    user_data = browser.get(f"{ARTEFACTS}guests/web/seed/user-data").content.decode()
    config = browser.get(f"{ARTEFACTS}guests/web/seed/network-config").content
    meta = browser.get(f"{ARTEFACTS}guests/web/seed/meta-data").content
    shown = browser.get(ARTEFACTS, {"show": "guests/web/seed/user-data"})

    data = json.loads(user_data.removeprefix("#cloud-config\n"))
    guest = generated.project.read_state().guest("web")
    assert data["hostname"] == guest.hostname
    assert "ssh_keys" not in data
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


def test_script_is_the_one_that_up_runs(browser: Client, generated: Testbed):
    url = f"{ARTEFACTS}guests/web/scripts/a.sh"

    before = browser.get(url).content.decode()
    generated.project.file("a.sh").write_text("#!/bin/sh\necho mended\n")
    after = browser.get(url).content.decode()
    generated.project.file("a.sh").unlink()
    gone = browser.get(url).status_code
    (generated.project.files / "a.sh").symlink_to(generated.project.identity_file)
    outside = browser.get(url).status_code

    assert before == "#!/bin/sh\necho set up\n"
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
