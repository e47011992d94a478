"""The page of the trash, and the deletions that lead there."""

import logging

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.test import Client

from testbed.models import Testbed, TrashItem
from testbed.testbeds.files import delete_file, delete_testbed
from testbed.testbeds.stored_files import list_files
from testbed.views.listing import labels
from tests.testbed.confirming import answered
from tests.testbed.conftest import Doors
from tests.testbed.reading import visible

JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def lab(testbed: Testbed, doors: Doors) -> Testbed:
    testbed.project.file("setup.sh").write_text("#!/bin/sh\n")
    return testbed


def test_deleted_testbed_is_undone_with_one_click(browser: Client) -> None:
    question = browser.get("/testbeds/olive/lab/delete/")
    answered(browser, question)
    after = browser.get("/")
    item = TrashItem.objects.get()

    trash = visible(browser.get("/trash/").content.decode())
    back = browser.post(f"/trash/{item.pk}/restore/", follow=True)

    asked = visible(question.content.decode())
    assert "Its 2 files" in asked
    assert "can be restored from the trash until" in asked
    assert "To be erased" not in asked
    assert 'href="/trash/"' in after.content.decode()
    assert "Restore it from the trash" in after.content.decode()
    assert "lab testbed, 2 files" in trash
    assert "by olive" in trash
    assert "lab is back. Up makes its guests anew." in visible(back.content.decode())
    assert list(list_files(Testbed.objects.get())) == ["kvm-compose.yaml", "setup.sh"]


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("delete/", {}),
        ("name/", {"name": "other"}),
        ("labels/", {"tags": "a"}),
        ("protection/", {}),
        ("charge/", {"charged": ""}),
        ("runs/", {"command": "up"}),
    ],
)
def test_act_on_a_testbed_that_is_deleted_meanwhile_is_answered_with_404(
    browser: Client,
    lab: Testbed,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    form: dict[str, str],
) -> None:
    real = QuerySet.select_for_update

    def while_another_deletes(rows: QuerySet, **words: object) -> QuerySet:
        Testbed.objects.filter(pk=lab.pk).delete()
        return real(rows, **words)

    monkeypatch.setattr(QuerySet, "select_for_update", while_another_deletes)

    late = browser.post(f"/testbeds/olive/lab/{address}", form)
    asked = browser.post(f"/testbeds/olive/lab/{address}", form, headers=JSON)

    assert late.status_code == 404
    assert "It may have been deleted" in late.content.decode()
    assert asked.status_code == 404


@pytest.mark.django_db(transaction=True)
def test_star_of_a_testbed_that_is_deleted_meanwhile_is_answered_with_404(
    browser: Client, lab: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = labels.set_favourite

    def while_another_deletes(*args: object, **words: bool) -> None:
        Testbed.objects.filter(pk=lab.pk).delete()
        real(*args, **words)

    monkeypatch.setattr(labels, "set_favourite", while_another_deletes)

    late = browser.post("/testbeds/olive/lab/favourite/")

    assert late.status_code == 404


def test_deleted_file_is_undone_with_one_click(browser: Client, lab: Testbed) -> None:
    answered(browser, browser.get("/testbeds/olive/lab/files/remove/?path=setup.sh"))
    assert "setup.sh" not in list_files(lab)

    item = TrashItem.objects.get()
    back = browser.post(f"/trash/{item.pk}/restore/", follow=True)

    assert "setup.sh is back." in visible(back.content.decode())
    assert "setup.sh" in list_files(lab)


def test_name_that_was_taken_is_said(
    browser: Client, lab: Testbed, owner: User
) -> None:
    item = delete_testbed(lab, owner)
    Testbed.objects.create(owner=owner, slug="lab", number=9)

    back = browser.post(f"/trash/{item.pk}/restore/", follow=True)

    text = visible(back.content.decode())
    assert "lab is back as lab-2: its name was taken." in text


def test_file_of_a_testbed_that_is_gone_says_what_to_do(
    browser: Client, lab: Testbed, owner: User
) -> None:
    item = delete_file(lab, "setup.sh", owner)
    delete_testbed(lab, owner)

    answer = browser.post(f"/trash/{item.pk}/restore/")

    assert answer.status_code == 422
    assert "Restore the testbed first" in answer.content.decode()


def test_file_does_not_follow_a_testbed_to_another_owner(
    browser: Client, lab: Testbed, owner: User, stranger: User
) -> None:
    item = delete_file(lab, "setup.sh", owner)
    Testbed.objects.update(owner=stranger)

    assert browser.post(f"/trash/{item.pk}/restore/").status_code == 422
    assert "setup.sh" not in list_files(lab)


def test_trash_is_emptied_after_a_question_that_names_all(
    browser: Client, lab: Testbed, owner: User
) -> None:
    delete_file(lab, "setup.sh", owner)
    delete_testbed(lab, owner)

    question = browser.get("/trash/empty/")
    after = answered(browser, question)

    asked = visible(question.content.decode())
    assert "file setup.sh of lab 10 B" in asked
    assert "testbed lab" in asked
    assert after["Location"] == "/trash/"
    assert not TrashItem.objects.exists()


def test_admin_removes_one_thing_of_another_and_empties_only_the_own(
    page: Client, lab: Testbed, owner: User, admin: User
) -> None:
    item = delete_file(lab, "setup.sh", owner)

    shown = visible(page.get("/trash/").content.decode())
    page.post("/trash/empty/")
    still = TrashItem.objects.exists()
    answered(page, page.get(f"/trash/{item.pk}/delete/"))

    assert "setup.sh of lab olive" in shown
    assert "Empty it now" not in shown
    assert still
    assert not TrashItem.objects.exists()


def test_stranger_finds_nothing(
    client: Client, lab: Testbed, owner: User, stranger: User
) -> None:
    item = delete_testbed(lab, owner)
    client.force_login(stranger)

    assert "lab" not in visible(client.get("/trash/").content.decode())
    for act in ("restore", "delete"):
        assert client.post(f"/trash/{item.pk}/{act}/").status_code == 404
    assert TrashItem.objects.exists()


def test_program_deletes_lists_restores_and_removes(browser: Client) -> None:
    deleted = browser.post("/testbeds/olive/lab/delete/", headers=JSON).json()
    (item,) = browser.get("/trash/", headers=JSON).json()["items"]
    restored = browser.post(f"/trash/{item['id']}/restore/", headers=JSON).json()
    again = browser.post("/testbeds/olive/lab/delete/", headers=JSON).json()
    address = f"/trash/{again['trash']}/delete/"
    refusal = browser.post(address, headers=JSON)
    confirm = refusal.json()["erases"]["confirm"]
    removed = browser.post(address, {"confirm": confirm}, headers=JSON).json()

    assert deleted == {"deleted": "lab", "trash": item["id"]}
    assert (item["testbed"], item["path"], item["owner"]) == ("lab", "", "olive")
    assert restored["testbed"] == "olive/lab"
    assert refusal.status_code == 428
    assert removed == {"removed": 1}


def test_acts_are_logged(
    browser: Client, lab: Testbed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        form = {"path": "setup.sh"}
        browser.post("/testbeds/olive/lab/files/remove/", form)
        browser.post(f"/trash/{TrashItem.objects.get().pk}/restore/")

    assert caplog.messages == [
        "act edit by olive on lab: deleted the file setup.sh",
        "act edit by olive on lab: setup.sh is back.",
    ]
