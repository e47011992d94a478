"""Names of testbeds: unique among their owner's, and keys that are never given again."""

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.access.names import NameTaken, place, rename
from testbed.models import Entry, FormerName, Testbed
from testbed.models.listing.names import MOST_FORMER, free_name, next_key
from testbed.sharing.transfer import transfer
from testbed.testbeds.erasure.deletions import erased_testbed
from testbed.testbeds.files import copy_testbed, create_testbed, delete_testbed
from testbed.testbeds.trash.restoring import restore_testbed
from tests.testbed.conftest import YAML, ShareWith
from tests.testbed.preparing import prepare
from tests.testbed.reading import visible

FILES = {"kvm-compose.yaml": YAML.encode()}


def delete(testbed: Testbed, user: User):
    return delete_testbed(testbed, user, confirm=erased_testbed(testbed).token)


def test_name_of_anothers_testbed_is_free(testbed: Testbed, member: User):
    found = create_testbed(member, "lab", FILES)

    assert (found.name, found.full_name) == ("lab", "mark/lab")
    assert found.directory.name == found.slug != "lab"


def test_name_of_ones_own_is_refused_and_the_next_is_offered(
    testbed: Testbed, owner: User
):
    with pytest.raises(NameTaken, match="already a testbed lab of olive") as caught:
        create_testbed(owner, "lab", FILES)

    assert caught.value.hint == "lab-2 is free."


def test_typed_name_is_compared_with_ones_own_alone(
    testbed: Testbed, browser: Client, member: User
):
    other = Client()
    other.force_login(member)
    check = "/testbeds/new/name/"

    assert "lab-2 is free" in browser.get(check, {"slug": "lab"}).content.decode()
    assert "lab is free" in other.get(check, {"slug": "lab"}).content.decode()


def test_key_is_not_given_again_after_a_deletion(testbed: Testbed, owner: User):
    first = create_testbed(owner, "one", FILES)
    key, number = first.slug, first.number
    delete(first, owner)
    second = create_testbed(owner, "one", FILES)

    assert second.number == number
    assert second.slug != key


def test_key_of_a_lost_testbeds_folder_is_left_out(testbed: Testbed, owner: User):
    with transaction.atomic():
        number = int(next_key().removeprefix("tb"))
    lost = testbed.directory.parent / f"tb{number + 1}"
    lost.mkdir()

    assert create_testbed(owner, "one", FILES).slug == f"tb{number + 2}"
    assert not any(lost.iterdir())


def test_database_holds_names_apart(testbed: Testbed, owner: User):
    with pytest.raises(IntegrityError), transaction.atomic():
        Testbed.objects.create(owner=owner, slug="tb3", name="lab", number=3)


def test_name_that_was_taken_just_now_is_told_as_one_that_is_taken(
    testbed: Testbed, owner: User
):
    other = create_testbed(owner, "other", FILES)

    with pytest.raises(NameTaken):
        place(other, owner, "lab")  # the other browser came between check and write

    other.refresh_from_db()
    assert other.name == "other"


def test_long_name_keeps_its_length_with_a_number(testbed: Testbed, owner: User):
    name = "a" * 38 + "-b"
    Testbed.objects.filter(pk=testbed.pk).update(name=name)

    assert free_name(owner, name) == "a" * 38 + "-2"
    assert len(free_name(owner, name)) == 40


def test_copy_of_anothers_testbed_may_keep_its_name(testbed: Testbed, member: User):
    assert copy_testbed(testbed, member, "lab", YAML.encode()).full_name == "mark/lab"


def test_restored_testbed_gets_a_free_name(testbed: Testbed, owner: User):
    item = delete(testbed, owner)
    create_testbed(owner, "lab", FILES)
    assert item is not None

    assert restore_testbed(item).name == "lab-2"


def test_testbed_of_a_new_owner_who_has_the_name_gets_another(
    testbed: Testbed, browser: Client, owner: User, share: ShareWith
):
    viewer = share(testbed, "viewer")
    give = "/testbeds/olive/lab/owner/"
    before = visible(browser.post(give, {"to": "a-viewer"}).content.decode())
    create_testbed(viewer, "lab", FILES)

    asked = visible(browser.post(give, {"to": "a-viewer"}).content.decode())
    answer = browser.post(give, {"to": "a-viewer", "sure": "a-viewer"}, follow=True)

    testbed.refresh_from_db()
    assert asked == before  # it does not tell the receiver's names
    assert "gets the next free name" in asked
    assert "lab-2" not in visible(answer.content.decode())
    assert testbed.full_name == "a-viewer/lab-2"
    entry = Entry.objects.get(act="transfer")
    assert entry.what == "gave it from olive to a-viewer as lab-2"


def test_rename_is_recorded_and_touches_nothing_else(
    testbed: Testbed, browser: Client, owner: User
):
    before = (testbed.slug, testbed.number, testbed.directory)
    answer = browser.post("/testbeds/olive/lab/name/", {"name": "ring"})

    testbed.refresh_from_db()
    assert answer["Location"] == "/testbeds/olive/ring/"
    assert (testbed.slug, testbed.number, testbed.directory) == before
    entry = Entry.objects.get(act="rename")
    assert (entry.act, entry.thing, entry.what) == (
        "rename",
        "ring",
        "renamed it from lab",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other", "already a testbed other of olive"),
        ("Ring", "lower-case letters"),
        ("", "Give the testbed a name"),
        ("runs", "an address of the web itself"),
    ],
)
def test_rename_to_a_wrong_name_is_refused(
    name: str, words: str, testbed: Testbed, browser: Client, owner: User
):
    create_testbed(owner, "other", FILES)
    answer = browser.post("/testbeds/olive/lab/name/", {"name": name})

    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_few_former_names_are_kept(testbed: Testbed, owner: User):
    for number in range(MOST_FORMER + 5):
        rename(testbed, f"lab-{number}", owner)

    assert FormerName.objects.count() == MOST_FORMER


@pytest.mark.parametrize("name", ["runs", "new"])
def test_word_of_addresses_is_not_offered_as_a_name(
    name: str, testbed: Testbed, owner: User
):
    """Such a testbed of before accounts may come back from the trash."""
    item = delete(create_testbed(owner, "old", FILES), owner)
    assert item is not None
    item.slug = name
    item.save()

    assert restore_testbed(item).name == f"{name}-2"


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do each act in a thread of its own; return what each gave, or was refused by."""
    barrier, found = threading.Barrier(len(acts)), dict[int, object]()

    def do(number: int, act: Callable[[], object]) -> None:
        barrier.wait(timeout=30)
        try:
            found[number] = act()
        except NameTaken as exc:
            found[number] = exc
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found.get(number) for number in range(len(acts))]


@pytest.mark.django_db(transaction=True)
def test_of_two_browsers_with_one_new_name_one_is_told_another(
    testbed: Testbed, owner: User
):
    found = at_once(*[lambda: create_testbed(owner, "same", FILES)] * 2)

    (refused,) = (one for one in found if isinstance(one, NameTaken))
    assert refused.hint == "same-2 is free."
    assert owner.testbeds.filter(name="same").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_users_create_one_name_at_once(
    testbed: Testbed, owner: User, member: User, stranger: User
):
    users = (owner, member, stranger)
    acts = [lambda user=user: create_testbed(user, "same", FILES) for user in users]
    found = at_once(*acts)

    testbeds = Testbed.objects.filter(name="same")
    assert {one.full_name for one in testbeds} == set(map(str, found))
    assert len({one.slug for one in testbeds}) == len({t.number for t in testbeds}) == 3


@pytest.mark.django_db(transaction=True)
def test_rename_and_creation_of_one_name_at_once(testbed: Testbed, owner: User):
    found = at_once(
        lambda: rename(testbed, "same", owner),
        lambda: create_testbed(owner, "same", FILES),
    )

    assert [type(one) for one in found].count(NameTaken) == 1
    assert owner.testbeds.filter(name="same").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_owners_give_testbeds_of_one_name_to_a_user_at_once(
    testbed: Testbed, owner: User, stranger: User, member: User
):
    other = create_testbed(stranger, "lab", FILES)
    at_once(
        lambda: transfer(testbed, member, owner),
        lambda: transfer(other, member, stranger),
    )

    names = member.testbeds.values_list("name", flat=True)
    assert sorted(names) == ["lab", "lab-2"]


def test_testbeds_of_one_name_share_nothing_on_hosts(testbed: Testbed, member: User):
    """Domains, uuids, devices, folders and DNS names of the two are apart."""
    other = create_testbed(member, "lab", FILES)
    states = [
        prepare(each, Command.UP, Options(provision=False))[0]
        for each in (testbed, other)
    ]

    for part in ("domain", "uuid", "hostname"):
        names = [
            {getattr(guest, part) for guest in state.guests} - {""} for state in states
        ]
        assert not names[0] & names[1], part
    assert states[0].directory != states[1].directory
