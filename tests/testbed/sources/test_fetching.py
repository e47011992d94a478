"""Fetches from real repositories: what is written, and what is never lost."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.errors import TestbedBusy
from testbed.celery import app
from testbed.models import Allowance, Entry, Fetch, Run, Source, Testbed, TrashItem
from testbed.models.sources.rows import LOST_AFTER, MOST_KEPT
from testbed.runs.outcome import finish_run
from testbed.sources.changes import (
    LOSE,
    ask_after_push,
    ask_for_fetch,
    decide,
    remove_source,
)
from testbed.sources.fetching import fetch_once, send_fetches_again
from testbed.sources.places import SourceRefused
from testbed.testbeds.erasure.protection import protect
from testbed.testbeds.files import update_files
from testbed.testbeds.stored_files import list_files
from testbed.testbeds.trash.restoring import bring_back
from tests.testbed.conftest import YAML, MakeRun, MakeTestbed
from tests.testbed.sources.conftest import LOCAL, FetchNow
from tests.testbed.sources.repositories import Forge

Status = Fetch.Status
NEW_YAML = YAML.replace("256", "512")


def read(testbed: Testbed, path: str) -> str:
    return (testbed.project.files / path).read_text()


def edit(testbed: Testbed, path: str, text: str) -> None:
    update_files(testbed, {path: text.encode()})


def test_files_of_the_newest_commit_are_written(
    fetch_now: FetchNow, forge: Forge, source: Source
):
    fetch_now()
    commit = forge.commit(
        {"kvm-compose.yaml": NEW_YAML, "scripts/new.sh": "echo 2\n"}, "Use more memory"
    )

    found = fetch_now()

    assert (found.status, found.said) == (
        Status.SUCCEEDED,
        "1 added, 1 changed, 1 removed.",
    )
    assert (found.commit, found.author) == (commit, "Grace Hopper")
    assert found.subject == "Use more memory"
    testbed = source.testbed
    assert list(list_files(testbed)) == ["kvm-compose.yaml", "scripts/new.sh"]
    assert read(testbed, "kvm-compose.yaml") == NEW_YAML
    source.refresh_from_db()
    assert (source.commit, source.subject) == (commit, "Use more memory")
    testbed.refresh_from_db()
    assert testbed.files_bytes == sum(list_files(testbed).values())
    entry = Entry.objects.filter(act="edit").latest("pk")
    assert (entry.user, entry.what.startswith(f"fetched commit {commit[:10]}")) == (
        "",
        True,
    )


def test_file_that_the_repository_removed_is_in_the_trash(
    fetch_now: FetchNow, forge: Forge, owner: User
):
    fetch_now()
    forge.commit({"kvm-compose.yaml": YAML})
    testbed = fetch_now().testbed

    item = TrashItem.objects.get()
    assert (item.path, item.deleted_by, item.owner) == ("setup.sh", None, owner)
    bring_back(item, owner)
    assert read(testbed, "setup.sh") == "echo 1\n"


def test_protected_testbed_loses_no_file_to_a_fetch(
    fetch_now: FetchNow, forge: Forge, owner: User
):
    testbed = fetch_now().testbed
    protect(testbed, owner)
    forge.commit({"kvm-compose.yaml": YAML})

    row = fetch_now()

    assert row.status == Status.FAILED
    assert "protected" in row.said
    assert read(testbed, "setup.sh") == "echo 1\n"


def test_same_commit_changes_nothing(fetch_now: FetchNow):
    fetch_now()

    found = fetch_now()

    assert (found.status, found.said) == (Status.SUCCEEDED, "Nothing changed.")


def test_file_that_was_edited_here_alone_stays(
    fetch_now: FetchNow, forge: Forge, source: Source
):
    fetch_now()
    edit(source.testbed, "setup.sh", "echo mine\n")
    edit(source.testbed, "notes.txt", "mine\n")
    forge.commit({"kvm-compose.yaml": NEW_YAML, "setup.sh": "echo 1\n"})

    found = fetch_now()

    assert found.said == "1 changed, 1 kept as edited here."
    assert read(source.testbed, "setup.sh") == "echo mine\n"
    assert read(source.testbed, "notes.txt") == "mine\n"
    assert read(source.testbed, "kvm-compose.yaml") == NEW_YAML


def test_file_that_changed_on_both_sides_stops_the_fetch(
    fetch_now: FetchNow, forge: Forge, source: Source
):
    fetch_now()
    edit(source.testbed, "setup.sh", "echo mine\n")
    forge.commit({"kvm-compose.yaml": NEW_YAML, "setup.sh": "echo theirs\n"})

    found = fetch_now()

    assert found.status == Status.CONFLICT
    (side,) = found.changes["conflicts"]
    assert (side["path"], side["text"]) == ("setup.sh", "echo theirs\n")
    assert read(source.testbed, "setup.sh") == "echo mine\n"
    assert read(source.testbed, "kvm-compose.yaml") == YAML  # all or nothing


def test_trouble_is_on_the_testbeds_page_until_a_fetch_succeeds(
    conflict: Fetch, browser: Client
):
    page = "/testbeds/olive/lab/"
    assert "setup.sh changed here and in the repository" in browser.get(page).text

    decided(conflict, "keep")

    assert "changed here and in the repository" not in browser.get(page).text


def test_texts_of_the_conflict_before_are_not_kept(
    conflict: Fetch, fetch_now: FetchNow
):
    again = fetch_now()

    conflict.refresh_from_db()
    assert again.changes["conflicts"][0]["text"] == "echo theirs\n"
    assert conflict.changes["conflicts"][0]["text"] is None


def test_first_fetch_does_not_replace_another_yaml(fetch_now: FetchNow, source: Source):
    edit(source.testbed, "kvm-compose.yaml", NEW_YAML)

    assert fetch_now().status == Status.CONFLICT
    assert read(source.testbed, "kvm-compose.yaml") == NEW_YAML


def decided(conflict: Fetch, decision: str, confirm: str = "") -> Fetch:
    row = decide(conflict, conflict.testbed.owner, decision, confirm=confirm)
    fetch_once(row.pk, LOCAL)
    row.refresh_from_db()
    return row


@pytest.fixture
def conflict(fetch_now: FetchNow, forge: Forge, source: Source) -> Fetch:
    fetch_now()
    edit(source.testbed, "setup.sh", "echo mine\n")
    forge.commit({"kvm-compose.yaml": NEW_YAML, "setup.sh": "echo theirs\n"})
    return fetch_now()


def test_taken_conflict_keeps_the_edited_file_in_the_trash(
    conflict: Fetch, owner: User
):
    found = decided(conflict, "take")

    assert found.status == Status.SUCCEEDED
    assert read(found.testbed, "setup.sh") == "echo theirs\n"
    item = TrashItem.objects.get()
    found.testbed.project.file("setup.sh").unlink()
    bring_back(item, owner)
    assert read(found.testbed, "setup.sh") == "echo mine\n"


def test_kept_conflict_stays_kept_until_the_repository_changes_it_again(
    conflict: Fetch, fetch_now: FetchNow, forge: Forge
):
    found = decided(conflict, "keep")

    assert found.said == "1 changed, 1 kept as edited here."
    assert read(found.testbed, "setup.sh") == "echo mine\n"
    assert fetch_now().status == Status.SUCCEEDED
    forge.commit({"kvm-compose.yaml": NEW_YAML, "setup.sh": "echo again\n"})
    assert fetch_now().status == Status.CONFLICT


def test_file_that_was_edited_after_the_decision_is_a_conflict_again(conflict: Fetch):
    row = decide(conflict, conflict.testbed.owner, "take")
    edit(conflict.testbed, "setup.sh", "echo mine again\n")

    fetch_once(row.pk, LOCAL)

    row.refresh_from_db()
    assert row.status == Status.CONFLICT
    assert read(row.testbed, "setup.sh") == "echo mine again\n"


def test_commit_that_was_pushed_after_the_decision_is_a_conflict_again(
    conflict: Fetch, forge: Forge
):
    row = decide(conflict, conflict.testbed.owner, "take")
    forge.commit({"kvm-compose.yaml": NEW_YAML, "setup.sh": "echo other\n"})

    fetch_once(row.pk, LOCAL)

    row.refresh_from_db()
    assert row.status == Status.CONFLICT
    assert read(row.testbed, "setup.sh") == "echo mine\n"


def test_conflict_is_decided_once(conflict: Fetch):
    decided(conflict, "keep")

    with pytest.raises(SourceRefused, match="was decided"):
        decide(conflict, conflict.testbed.owner, "take")


def test_lab_without_a_trash_asks_before_files_are_lost(
    conflict: Fetch, settings: object
):
    settings.TRASH_DAYS = 0

    with pytest.raises(SourceRefused, match="no trash"):
        decide(conflict, conflict.testbed.owner, "take")

    assert decided(conflict, "take", LOSE).status == Status.SUCCEEDED
    assert not TrashItem.objects.exists()


def test_fetch_waits_until_the_run_is_over(source: Source, make_run: MakeRun):
    run = make_run()
    asked = ask_after_push(source)

    fetch_once(asked.pk, LOCAL)

    asked.refresh_from_db()
    assert asked.status == Status.WAITING
    assert asked.said.startswith("It waits: olive has been running")
    finish_run(run.pk, Run.Status.SUCCEEDED)
    fetch_once(asked.pk, LOCAL)
    asked.refresh_from_db()
    assert asked.status == Status.SUCCEEDED


def test_pushes_while_one_waits_are_one_fetch(source: Source):
    assert ask_after_push(source) == ask_after_push(source)
    assert Fetch.objects.count() == 1


def test_user_does_not_ask_twice(source: Source):
    ask_for_fetch(source.testbed, source.testbed.owner)

    with pytest.raises(TestbedBusy, match="waits"):
        ask_for_fetch(source.testbed, source.testbed.owner)


def test_one_worker_does_a_fetch(source: Source):
    asked = ask_for_fetch(source.testbed, source.testbed.owner)
    now = timezone.now()

    assert Fetch.objects.claim(asked.pk, now, most=3) is not None
    assert Fetch.objects.claim(asked.pk, now, most=3) is None
    other = ask_after_push(source)
    assert Fetch.objects.claim(other.pk, now, most=3) is None


@pytest.fixture
def four(make: MakeTestbed, owner: User, member: User, stranger: User) -> list[Fetch]:
    """Fetches that wait: two of the owner, then one each of two other users."""
    users = (owner, owner, member, stranger)
    names = ("a", "b", "c", "d")
    beds = [make(name, user=user) for user, name in zip(users, names, strict=True)]
    return [Fetch.objects.create(testbed=bed) for bed in beds]


def test_fetches_are_one_of_each_owner_and_few_of_all(four: list[Fetch]):
    first, second, third, fourth = four
    now = timezone.now()

    begun = [Fetch.objects.claim(row.pk, now, most=2) for row in four]

    assert begun == [first, None, third, None]
    assert Fetch.objects.next_ones(most=2) == []
    assert Fetch.objects.next_ones(most=3) == [fourth.pk]
    Fetch.objects.filter(pk=first.pk).update(status=Status.FAILED)
    # The owner had one just now, and the stranger none yet.
    assert Fetch.objects.next_ones(most=2) == [fourth.pk]
    assert Fetch.objects.next_ones(most=3) == [fourth.pk, second.pk]


def test_end_of_a_fetch_sends_the_next_ones(
    four: list[Fetch], member: User, monkeypatch: pytest.MonkeyPatch
):
    first, second, third, fourth = four
    Run.objects.create(testbed=third.testbed, command="up", plan={}, asked_by=member)
    sent = list[int]()
    monkeypatch.setattr(app, "send_task", lambda name, args, **_: sent.extend(args))

    fetch_once(third.pk, LOCAL)
    assert sent == [first.pk, fourth.pk]  # its own testbed has a run: it waits for that
    sent.clear()
    fetch_once(first.pk, LOCAL)

    assert sent == [fourth.pk, second.pk]


def test_fetch_that_has_to_wait_says_so(four: list[Fetch]):
    first, second, *_ = four
    Fetch.objects.claim(first.pk, timezone.now(), most=2)

    assert fetch_once(second.pk, LOCAL) is None

    second.refresh_from_db()
    assert (second.status, second.said) == (
        Status.WAITING,
        "It waits for other fetches.",
    )


def test_fetch_whose_worker_was_lost_ends(source: Source):
    asked = ask_for_fetch(source.testbed, source.testbed.owner)
    Fetch.objects.update(
        status=Status.RUNNING,
        started_at=timezone.now() - LOST_AFTER - timedelta(seconds=1),
    )

    assert send_fetches_again() == 1

    asked.refresh_from_db()
    assert (asked.status, asked.said[:10]) == (Status.FAILED, "The worker")


def test_old_fetches_are_forgotten(source: Source):
    rows = [
        Fetch(testbed=source.testbed, status=Status.SUCCEEDED)
        for _ in range(MOST_KEPT + 5)
    ]
    Fetch.objects.bulk_create(rows)

    newest = ask_for_fetch(source.testbed, source.testbed.owner)

    assert Fetch.objects.count() == MOST_KEPT
    assert Fetch.objects.first() == newest


def test_removed_source_leaves_the_files(fetch_now: FetchNow, source: Source):
    fetch_now()
    waiting = ask_after_push(source)

    remove_source(source.testbed, source.testbed.owner)

    waiting.refresh_from_db()
    assert waiting.said == "The source was removed."
    assert "setup.sh" in list_files(source.testbed)


def test_folder_of_the_repository_is_the_testbeds_root(
    fetch_now: FetchNow, forge: Forge, source: Source
):
    forge.commit({"labs/one/kvm-compose.yaml": YAML, "labs/two/other": "2"})
    Source.objects.update(folder="labs/one")

    assert fetch_now().said == "Nothing changed."
    assert list(list_files(source.testbed)) == ["kvm-compose.yaml"]


def test_more_files_than_the_owner_may_have_are_refused_before_any_is_written(
    fetch_now: FetchNow, forge: Forge, source: Source, owner: User
):
    fetch_now()
    forge.commit({"kvm-compose.yaml": NEW_YAML, "big": b"x" * (2 << 20)})
    Allowance.objects.create(user=owner, testbed_mib=1)

    found = fetch_now()

    assert found.status == Status.FAILED
    assert "are allowed" in found.said
    assert read(source.testbed, "kvm-compose.yaml") == YAML
    assert "setup.sh" in list_files(source.testbed)


def test_file_in_the_place_of_a_folder_writes_nothing(
    fetch_now: FetchNow, forge: Forge, source: Source
):
    fetch_now()
    edit(source.testbed, "scripts", "a file here\n")
    forge.commit({"kvm-compose.yaml": NEW_YAML, "scripts/a.sh": "1"})

    found = fetch_now()

    assert (found.status, "a folder in another" in found.said) == (Status.FAILED, True)
    assert read(source.testbed, "kvm-compose.yaml") == YAML


def test_folder_that_became_a_file_is_replaced(
    fetch_now: FetchNow, forge: Forge, source: Source
):
    forge.commit({"kvm-compose.yaml": YAML, "scripts/a.sh": "1"})
    fetch_now()
    forge.commit({"kvm-compose.yaml": YAML, "scripts": "2"})

    assert fetch_now().status == Status.SUCCEEDED
    assert read(source.testbed, "scripts") == "2"


def test_nothing_of_git_stays_in_the_system(
    fetch_now: FetchNow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert fetch_now().status == Status.SUCCEEDED

    assert not [*tmp_path.glob("testbed-*")]
