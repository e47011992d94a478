"""Up after a push: as whom, when it is refused, and how often."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.models.signals import pre_save
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command
from testbed.models import (
    Entry,
    Fetch,
    Host,
    Notification,
    Run,
    Share,
    Source,
    Testbed,
)
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from testbed.sources.changes import ask_after_push, ask_for_fetch, set_source
from testbed.sources.fetching import fetch_once
from testbed.sources.ups import MOST_IN_A_DAY, PAUSE, bring_up, bring_up_waiting
from testbed.testbeds.files import create_testbed
from tests.testbed.api.conftest import asker
from tests.testbed.conftest import YAML, ShareWith
from tests.testbed.sources.conftest import LOCAL
from tests.testbed.sources.repositories import Forge

Push = Callable[[str], Fetch]
BROKEN = "machines: 5\n"


@pytest.fixture
def editor(testbed: Testbed, share: ShareWith) -> User:
    return share(testbed, "editor")


@pytest.fixture
def push(source: Source, forge: Forge, editor: User) -> Push:
    """Push a content of a script, and do the fetch; Up is as the editor.

    The first commit was fetched by hand.
    """
    fetch_once(ask_for_fetch(source.testbed, source.testbed.owner).pk, LOCAL)
    Fetch.objects.all().delete()
    Source.objects.update(up_by=editor)

    def pushed(script: str, yaml: str = YAML) -> Fetch:
        forge.commit({"kvm-compose.yaml": yaml, "setup.sh": script})
        row = ask_after_push(source)
        fetch_once(row.pk, LOCAL)
        row.refresh_from_db()
        return row

    return pushed


def end_runs() -> None:
    Run.objects.update(status=Run.Status.SUCCEEDED, ended_at=timezone.now())
    Testbed.objects.update(condition=Testbed.Condition.GENERATED)


def titles(user: User) -> list[str]:
    rows = Notification.objects.filter(user=user)
    return list(rows.values_list("title", flat=True))


def test_push_that_changed_files_begins_an_up_as_the_user_who_chose_it(
    push: Push, editor: User
):
    row = push("echo 2\n")

    run = Run.objects.get()
    assert (run.command, run.asked_by) == ("up", editor)
    assert row.short in Source.objects.get().up_said
    entry = Entry.objects.get(act="up")
    assert (entry.user, entry.run_number) == ("a-editor", run.pk)
    assert entry.what == f"Up after a push of {row.short}"


def test_up_begins_without_waiting_for_a_client(push: Push):
    push("echo 2\n")

    run = Run.objects.get()
    assert (run.driver, run.next_index) == (Run.Driver.SERVER, 1)


def test_fetch_keeps_what_became_of_an_up_meanwhile(
    push: Push, source: Source, forge: Forge
):
    Source.objects.update(up_commit="5" * 40)

    def begin(sender: object, **more: object) -> None:
        Source.objects.update(up_commit="")

    forge.commit({"kvm-compose.yaml": YAML, "setup.sh": "echo 3\n"})
    row = ask_for_fetch(source.testbed, source.testbed.owner)
    pre_save.connect(begin, sender=Source)
    try:
        fetch_once(row.pk, LOCAL)
    finally:
        pre_save.disconnect(begin, sender=Source)

    assert Source.objects.get().up_commit == ""


def test_push_that_changed_nothing_here_begins_none(push: Push):
    push("echo 2\n")
    end_runs()

    push("echo 2\n")

    assert Run.objects.count() == 1
    assert bring_up_waiting() == 0


def test_fetch_by_hand_begins_none(push: Push, source: Source, forge: Forge):
    forge.commit({"kvm-compose.yaml": YAML, "setup.sh": "echo 3\n"})
    row = ask_for_fetch(source.testbed, source.testbed.owner)
    fetch_once(row.pk, LOCAL)

    assert Source.objects.get().manifest
    assert not Run.objects.exists()


def test_push_that_joins_a_fetch_by_hand_begins_an_up(push: Push, source: Source):
    ask_for_fetch(source.testbed, source.testbed.owner)

    push("echo 3\n")

    assert Fetch.objects.count() == 1
    assert Run.objects.count() == 1


def test_conflict_begins_none(push: Push, source: Source):
    push("echo 2\n")
    end_runs()
    (source.testbed.project.files / "setup.sh").write_text("echo mine\n")

    assert push("echo 3\n").status == Fetch.Status.CONFLICT

    assert Run.objects.count() == 1


def test_user_without_the_right_by_now_begins_none_and_the_owner_is_told(
    push: Push, editor: User, owner: User
):
    Share.objects.all().delete()

    push("echo 2\n")
    push("echo 3\n")

    assert not Run.objects.exists()
    assert Source.objects.get().up_by is None
    assert titles(owner) == ["Up of lab after a push was refused"]
    assert titles(editor) == []
    entry = Entry.objects.get(act="up")
    assert (entry.outcome, entry.role) == ("refused", "without a role")


@pytest.mark.parametrize("change", ["deactivated", "deleted"])
def test_account_that_is_gone_begins_none(push: Push, editor: User, change: str):
    if change == "deleted":
        editor.delete()
    else:
        User.objects.filter(pk=editor.pk).update(is_active=False)

    push("echo 2\n")

    assert not Run.objects.exists()


def test_same_refusal_is_told_once(push: Push, editor: User):
    push("echo 2\n", BROKEN)
    push("echo 3\n", BROKEN)
    source = Source.objects.get()
    bring_up(source.pk, timezone.now() + 2 * PAUSE)

    assert not Run.objects.exists()
    assert titles(editor) == ["Up of olive/lab after a push was refused"]
    assert source.up_by == editor


def test_up_that_waits_in_the_queue_is_told(push: Push, editor: User, owner: User):
    Host.objects.update(cpus=1, vcpu_overcommit=1)
    other = create_testbed(owner, "other", {"kvm-compose.yaml": YAML.encode()})
    finish_run(create_run(other, owner, Command.UP).pk, Run.Status.SUCCEEDED)

    push("echo 2\n")

    run = Run.objects.get(asked_by=editor)
    assert run.status == Run.Status.WAITING
    told = Notification.objects.get(user=editor)
    assert told.title == "Up of olive/lab waits in the queue"
    assert (told.path, told.data["run"]) == (f"/runs/{run.pk}/", run.pk)


def test_pushes_within_the_pause_are_one_up_of_the_newest_commit(push: Push):
    push("echo 2\n")
    end_runs()
    push("echo 3\n")
    newest = push("echo 4\n")

    assert Run.objects.count() == 1
    pk = newest.testbed_id
    assert bring_up(pk, timezone.now() + PAUSE - timedelta(minutes=1)) is None
    assert bring_up(pk, timezone.now() + PAUSE) is not None
    assert bring_up(pk, timezone.now() + 3 * PAUSE) is None
    assert newest.short in Source.objects.get().up_said


def test_testbed_that_pushes_on_and_on_comes_up_a_number_of_times_a_day(
    push: Push, owner: User, browser: Client
):
    now = timezone.now()
    times = [(now - timedelta(hours=h / 3)).timestamp() for h in range(1, 51)]
    Source.objects.update(up_times=sorted(times))
    assert len(times) == MOST_IN_A_DAY

    pk = push("echo 2\n").testbed_id

    assert not Run.objects.exists()
    commit = Source.objects.get().up_commit
    shape = asker(owner, "manage")("GET", "/testbeds/olive/lab/source").json()
    assert commit
    assert shape["up_waits"] == commit
    page = browser.get("/testbeds/olive/lab/source/").text
    assert f"An Up of commit {commit[:10]} waits." in page
    assert bring_up(pk, now + timedelta(days=1)) is not None
    assert len(Source.objects.get().up_times) < MOST_IN_A_DAY


@contextmanager
def no_runs_made() -> Iterator[None]:
    """Let the database fail as it does when it is away, where a run is made."""

    def fail(execute: Callable[..., object], sql: str, *more: object) -> object:
        if sql.startswith(f'INSERT INTO "{Run._meta.db_table}"'):
            raise OperationalError("the connection is gone")
        return execute(sql, *more)

    with connection.execute_wrapper(fail):
        yield


def test_up_that_the_database_failed_begins_at_the_next_look(push: Push):
    with no_runs_made():
        pk = push("echo 2\n").testbed_id
    assert not Run.objects.exists()

    assert bring_up(pk) is not None


def test_run_that_goes_on_is_waited_for(push: Push, source: Source):
    push("echo 2\n")
    Source.objects.update(up_commit="5" * 40)

    assert bring_up(source.pk, timezone.now() + PAUSE) is None
    assert Source.objects.get().up_said.startswith("It waits:")
    end_runs()
    assert bring_up(source.pk, timezone.now() + PAUSE) is not None


def test_owner_who_saves_without_the_box_ends_it(testbed: Testbed, owner: User):
    place = ("https://git.example.org/a", "main", "")
    set_source(testbed, owner, *place, then_up=True)
    assert Source.objects.get().up_by == owner

    set_source(testbed, owner, *place)

    assert Source.objects.get().up_by is None


def test_token_that_may_not_bring_up_chooses_no_up(testbed: Testbed, owner: User):
    wish = {"url": "https://git.example.org/a", "then_up": True}
    place = "/testbeds/olive/lab/source"

    outlasting = asker(owner, "edit", "run")("PUT", place, wish)
    refused = asker(owner, "manage")("PUT", place, wish)
    chosen = asker(owner, "manage", "run")("PUT", place, wish)

    codes = [answer.status_code for answer in (outlasting, refused, chosen)]
    assert codes == [403, 403, 201]
    assert chosen.json()["up_as"] == "olive"
