"""A file that was changed while it was edited: both texts are kept until one is chosen.

Differences are taken one at a time, and none when another may be meant; a file that was
deleted or became binary meanwhile is no file to write over.
"""

import os
import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from testbed.access.permissions import Act, record_act
from testbed.models import Testbed
from testbed.testbeds.editing import EditConflict, save_bytes
from tests.testbed.conftest import YAML
from tests.testbed.reading import squeezed, visible
from tests.testbed.views.editor_page import EDIT, load, save, shown


def test_conflict_keeps_both_texts_and_can_be_settled(
    browser: Client, testbed: Testbed
):
    text, seen = load(browser, EDIT)
    testbed.project.yaml.write_text("# theirs\n")

    answer = save(browser, EDIT, f"{text}# mine\n", seen)
    page = answer.content.decode()
    mine, now = shown(page)

    assert answer.status_code == 409
    assert testbed.project.yaml.read_text() == "# theirs\n"
    assert mine == f"{text}# mine\n"
    assert "# theirs" in page
    assert "was changed since it was read" in page
    assert save(browser, EDIT, mine, now).status_code == 302
    assert testbed.project.yaml.read_text() == f"{YAML}# mine\n"


def test_conflict_shows_where_both_texts_differ(browser: Client, testbed: Testbed):
    text, seen = load(browser, EDIT)
    testbed.project.yaml.write_text(YAML.replace("cpus: 1", "cpus: 3", 1))

    page = save(browser, EDIT, f"# mine\n{text}", seen).content.decode()

    assert page.count('class="compare__difference"') == 2
    assert "<span># mine</span></ins>" in squeezed(page)
    assert "<span>      cpus: 3</span>" in page
    assert "<span>      cpus: 1</span>" in page
    assert page.index("# mine</span>") < page.index("cpus: 3</span>")


def choose(browser: Client, page: str, number: int, **changes: str) -> str:
    """Press the button at one difference of a conflict page."""
    text, seen = shown(page)
    compared = re.search(r'name="compared" value="([0-9a-f]+)"', page)
    assert compared
    assert f'formaction="{EDIT}#conflict" name="take" value="{number}"' in page
    typed = {"text": text, "seen": seen, "compared": compared[1], "take": number}
    return browser.post(EDIT, {**typed, **changes}).content.decode()


def test_saved_lines_are_taken_one_difference_at_a_time(
    browser: Client, testbed: Testbed
):
    text, seen = load(browser, EDIT)
    theirs = YAML.replace("cpus: 1", "cpus: 3", 1) + "# theirs\n"
    testbed.project.yaml.write_text(theirs)

    first = save(browser, EDIT, f"# mine\n{text}", seen).content.decode()
    second = choose(browser, first, 2)
    third = choose(browser, second, 2)
    same = choose(browser, third, 1)

    assert shown(second)[0] == "# mine\n" + theirs.removesuffix("# theirs\n")
    assert shown(third)[0] == f"# mine\n{theirs}"
    assert shown(same)[0] == theirs
    assert "There is no difference left." in same
    assert testbed.project.yaml.read_text() == theirs
    mine, now = shown(third)
    assert save(browser, EDIT, mine, now).status_code == 302
    assert testbed.project.yaml.read_text() == f"# mine\n{theirs}"


@pytest.mark.parametrize("who", ["me", "them"])
def test_difference_is_not_taken_when_another_may_be_meant(
    browser: Client, testbed: Testbed, who: str
):
    text, seen = load(browser, EDIT)
    testbed.project.yaml.write_text(f"{YAML}# theirs\n")
    page = save(browser, EDIT, f"# mine\n{text}", seen).content.decode()

    if who == "me":
        page = choose(browser, page, 1, text=f"# mine\n# more\n{text}")
        wanted = f"# mine\n# more\n{text}"
    else:
        testbed.project.yaml.write_text(f"# also theirs\n{YAML}# theirs\n")
        page = choose(browser, page, 1)
        wanted = f"# mine\n{text}"

    assert shown(page)[0] == wanted
    assert 'name="take" value="1"' in page
    if who == "them":
        assert "# also theirs</span></del>" in squeezed(page)


def test_file_that_was_deleted_meanwhile_is_a_conflict(
    browser: Client, testbed: Testbed
):
    file = testbed.project.file("a.sh")
    file.write_text("echo\n")
    text, seen = load(browser, f"{EDIT}a.sh")
    file.unlink()

    answer = save(browser, f"{EDIT}a.sh", text, seen)

    assert answer.status_code == 409
    assert "was deleted since it was read" in answer.content.decode()
    assert not file.exists()


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("mark", "a.sh was changed by mark since it was read."),
        (
            "olive",
            "a.sh was changed by you, in another window or program, since it was",
        ),
    ],
)
def test_conflict_names_the_user_of_the_last_save(
    browser: Client, testbed: Testbed, owner: User, member: User, user: str, words: str
):
    by = {"mark": member, "olive": owner}[user]
    save_bytes(testbed, "a.sh", b"echo\n", owner, seen="")
    text, seen = load(browser, f"{EDIT}a.sh")
    save_bytes(testbed, "a.sh", b"echo theirs\n", by, seen=seen)

    page = visible(save(browser, f"{EDIT}a.sh", text, seen).content.decode())

    assert words in page


def is_fetched(testbed: Testbed, owner: User) -> None:
    file = testbed.project.file("a.sh")
    file.write_text("echo fetched\n")
    os.utime(file, (0, 0))


def is_of_an_earlier_testbed(testbed: Testbed, owner: User) -> None:
    Testbed.objects.update(created_at=timezone.now())


def meets_another_save(testbed: Testbed, owner: User) -> None:
    record_act(owner, Act.EDIT, testbed, "uploaded a.sh")


@pytest.mark.parametrize(
    "happens", [is_fetched, is_of_an_earlier_testbed, meets_another_save]
)
def test_conflict_names_nobody_where_the_record_does_not_prove_the_save(
    browser: Client,
    testbed: Testbed,
    owner: User,
    member: User,
    happens: Callable[[Testbed, User], None],
):
    save_bytes(testbed, "a.sh", b"echo\n", owner, seen="")
    text, seen = load(browser, f"{EDIT}a.sh")
    save_bytes(testbed, "a.sh", b"echo theirs\n", member, seen=seen)
    happens(testbed, owner)

    page = visible(save(browser, f"{EDIT}a.sh", text, seen).content.decode())

    assert "a.sh was changed since it was read." in page


def test_file_that_someone_began_meanwhile_is_there_already(
    testbed: Testbed, owner: User, member: User
):
    save_bytes(testbed, "a.sh", b"echo\n", member, seen="")

    with pytest.raises(EditConflict, match=r"There is already a file a\.sh\."):
        save_bytes(testbed, "a.sh", b"echo mine\n", owner, seen="")


def test_file_that_became_binary_is_not_replaced(browser: Client, testbed: Testbed):
    file = testbed.project.file("a.sh")
    file.write_text("echo\n")
    _, seen = load(browser, f"{EDIT}a.sh")
    file.write_bytes(b"\0\xff")

    answer = save(browser, f"{EDIT}a.sh", "echo mine\n", seen)

    assert answer.status_code == 409
    assert "echo mine" in answer.content.decode()
    assert file.read_bytes() == b"\0\xff"
