"""Protections on the pages and for programs: set, shown, refused by, lifted."""

import logging

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.models import Protection, Run, Testbed
from testbed.testbeds.erasure.protection import protect
from tests.testbed.conftest import Doors, ShareWith
from tests.testbed.reading import visible

PAGE = "/testbeds/olive/lab/"
PROTECTION = f"{PAGE}protection/"
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def lab(generated: Testbed, doors: Doors) -> Testbed:
    """The testbed, down, with a disk of each guest."""
    for name in ("web", "db"):
        generated.project.mark(name, disk="ubuntu_22_04 of today")
    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    generated.refresh_from_db()
    return generated


def test_owner_protects_and_lifts_on_the_page(browser: Client) -> None:
    before = visible(browser.get(PAGE).content.decode())
    browser.post(PROTECTION)
    during = visible(browser.get(PAGE).content.decode())
    browser.post(PROTECTION, {"lift": "on"})
    after = visible(browser.get(PAGE).content.decode())

    assert "Protect lab refuses what would erase its disks" in before
    assert "Protected by olive since" in during
    assert "nothing that erases its data is accepted" in during
    assert "Testbed lab is not protected any more." in after


def test_guest_is_protected_on_its_own_page(browser: Client) -> None:
    answer = browser.post(PROTECTION, {"guest": "web"})

    assert answer["Location"] == f"{PAGE}guests/web/"
    guest = visible(browser.get(answer["Location"]).content.decode())
    assert "Protected by olive since" in guest
    other = visible(browser.get(f"{PAGE}guests/db/").content.decode())
    assert "Protect db refuses what would erase its disk" in other
    row = visible(browser.get(f"{PAGE}guests/").content.decode())
    assert row.count("protected") == 1


@pytest.mark.parametrize(
    ("address", "wish"),
    [
        (f"{PAGE}runs/", {"command": "up", "provision": "on"}),
        (f"{PAGE}runs/", {"command": "clear-artefacts"}),
        (f"{PAGE}delete/", {}),
    ],
)
def test_refusal_says_who_when_and_what_to_do(
    browser: Client, lab: Testbed, admin: User, address: str, wish: dict[str, str]
) -> None:
    protect(lab, admin, "web")

    page = browser.post(address, wish)
    shape = browser.post(address, wish, headers=JSON)

    assert (page.status_code, shape.status_code) == (423, 423)
    text = visible(page.content.decode())
    assert "Guest web is protected by ada since" in text
    assert "Lift the protection on the page of guest web first." in text
    assert shape.json()["error"].startswith("Guest web is protected by ada since")
    assert not Run.objects.exists()
    assert Testbed.objects.exists()


@pytest.mark.parametrize("address", [f"{PAGE}delete/", f"{PAGE}disks/delete/"])
def test_question_is_not_asked_in_vain(
    browser: Client, lab: Testbed, owner: User, address: str
) -> None:
    protect(lab, owner)

    answer = browser.get(address)

    assert answer.status_code == 423
    assert "Testbed lab is protected by olive" in answer.content.decode()


def test_plan_of_an_edit_says_that_up_will_be_refused(
    browser: Client, lab: Testbed, owner: User
) -> None:
    protect(lab, owner, "web")
    yaml = lab.project.yaml
    yaml.write_text(yaml.read_text().replace("name: db", "name: store"))
    other = visible(browser.get(PAGE).content.decode())
    yaml.write_text(yaml.read_text().replace("name: web", "name: shop"))
    mine = visible(browser.get(PAGE).content.decode())

    assert "Up is refused" not in other
    assert "Up is refused: it would erase data of what is protected. Guest web" in mine


def test_program_sets_reads_and_lifts(browser: Client) -> None:
    def sent(**form: str) -> list[dict[str, str]]:
        answer = browser.post(PROTECTION, form, headers=JSON)
        return answer.json()["protections"]

    assert [one["set_by"] for one in sent(guest="web")] == ["olive"]
    assert [one["guest"] for one in sent()] == ["", "web"]
    listed = browser.get(PROTECTION, headers=JSON).json()["protections"]
    assert [one["guest"] for one in listed] == ["", "web"]
    assert [one["guest"] for one in sent(guest="web", lift="on")] == [""]


@pytest.mark.parametrize("guest", ["ghost", "a/b", "web\0"])
def test_unknown_guest_is_a_sentence(browser: Client, guest: str) -> None:
    answer = browser.post(PROTECTION, {"guest": guest}, headers=JSON)

    assert answer.status_code == 422
    assert "has no guest" in answer.json()["error"]


def test_stranger_neither_protects_nor_lifts(
    client: Client, lab: Testbed, owner: User, stranger: User
) -> None:
    protect(lab, owner)
    client.force_login(stranger)

    assert client.post(PROTECTION, {"lift": "on"}).status_code == 404
    assert client.get(PROTECTION, headers=JSON).status_code == 404
    assert Protection.objects.exists()


def test_editor_neither_protects_nor_deletes(
    client: Client, lab: Testbed, share: ShareWith
) -> None:
    client.force_login(share(lab, "editor"))

    assert client.post(PROTECTION).status_code == 403
    assert client.post(f"{PAGE}delete/").status_code == 403
    assert not Protection.objects.exists()


def test_operator_deletes_no_file(
    client: Client, lab: Testbed, share: ShareWith
) -> None:
    client.force_login(share(lab, "operator"))

    assert client.post(f"{PAGE}files/remove/").status_code == 403


def test_acts_are_logged(browser: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        browser.post(PROTECTION, {"guest": "web"})
        browser.post(PROTECTION, {"guest": "web", "lift": "on"})

    begin = "act protect by olive on lab: guest web is"
    assert [line.startswith(begin) for line in caplog.messages] == [True, True]
