"""Artefacts are listed and downloaded, alone and as an archive, and nothing else is.

What was no artefacts yet, and a state that cannot be read, is said.
"""

import pytest
from django.test import Client

from orchestration.compose.rules.scripts import SCRIPT_LIMIT_BYTES
from orchestration.errors import StateError
from orchestration.plan.model import Command, Options
from orchestration.project.host_keys import pin_key
from orchestration.state.model import GoldenState
from testbed.models import Testbed
from testbed.pages.artefacts import all_artefacts
from tests.testbed.pages.artefacts.downloads import ARTEFACTS, archive_of
from tests.testbed.preparing import prepare


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
        )
    }
    assert per_guest < set(found)
    assert {"lab-artefacts/state.json", "lab-artefacts/plan-up.txt"} < set(found)
    assert "lab-artefacts/networks/main-t7-nat.xml" in found
    xml = generated.project.artefacts / "web-domain.xml"
    assert found["lab-artefacts/guests/web/domain.xml"] == xml.read_bytes()


def test_host_key_is_there_when_its_guest_reported_it(
    browser: Client, generated: Testbed
):
    pin_key(generated.project, "web", "ssh-ed25519 AAAA")

    found = archive_of(browser)

    keys = {name: data for name, data in found.items() if "host-key" in name}
    assert keys == {"lab-artefacts/guests/web/host-key.pub": b"ssh-ed25519 AAAA web\n"}


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


def test_one_is_downloaded_under_its_testbeds_name(browser: Client, generated: Testbed):
    answer = browser.get(f"{ARTEFACTS}guests/web/domain.xml?download")

    header = answer["Content-Disposition"]
    assert header == 'attachment; filename="lab-guests-web-domain.xml"'


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
    archive = browser.get("/testbeds/olive/lab/artefacts.zip")
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    begun = browser.get(ARTEFACTS).content.decode()

    assert "This testbed is a draft." in empty
    assert 'value="generate-artefacts"' in empty
    assert archive.status_code == 404
    assert begun.count("no artefacts yet") == 2
    assert "plan-up.txt" in begun


def test_broken_state_is_said(browser: Client, testbed: Testbed):
    testbed.project.state_file.write_text("{")

    answer = browser.get(ARTEFACTS)

    assert answer.status_code == 200
    assert "state.json of this testbed cannot be read" in answer.content.decode()


def test_script_that_grew_is_not_read(generated: Testbed):
    script = generated.project.file("a.sh")
    script.write_bytes(b"#" * (SCRIPT_LIMIT_BYTES + 1))
    state = generated.project.read_state()

    found = [a for a in all_artefacts(generated.project, state) if a.title == "a.sh"]

    assert found
    with pytest.raises(StateError, match=r"a\.sh is larger than 1024 KiB"):
        found[0].read()
