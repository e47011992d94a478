"""Entries of the record: added, kept as they are, and removed by their age alone."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from testbed.access.permissions import Act, record_act
from testbed.access.record import write
from testbed.models import Entry, Run, Testbed
from testbed.models.record.entries import GROUPS, MOST_TEXT, SIGN_IN
from testbed.retention import forget_old_entries
from testbed.runs.outcome import finish_run
from tests.testbed.conftest import MakeRun, ShareWith

pytestmark = pytest.mark.django_db


def only() -> Entry:
    return Entry.objects.get()


def test_entry_holds_who_what_and_whose(testbed: Testbed, share: ShareWith):
    operator = share(testbed, "operator")

    record_act(operator, Act.EDIT, testbed, "saved a.sh")

    entry = only()
    assert (entry.user, entry.role, entry.owner) == (
        str(operator),
        "operator",
        "olive",
    )
    assert (entry.act, entry.thing, entry.testbed_number) == (
        "edit",
        "lab",
        testbed.number,
    )
    assert (entry.what, entry.outcome) == ("saved a.sh", "done")


def test_entry_stays_when_its_user_and_testbed_go(testbed: Testbed, owner: User):
    record_act(owner, Act.EDIT, testbed, "saved a.sh")

    testbed.delete()
    owner.delete()

    assert (only().user, only().thing) == ("olive", "lab")


def test_entry_is_neither_changed_nor_deleted(owner: User):
    write(owner, GROUPS, "added sam", thing="group course")
    entry = only()
    entry.what = "nothing"

    for change in (
        entry.save,
        entry.delete,
        Entry.objects.all().delete,
        lambda: Entry.objects.update(what="nothing"),
    ):
        with pytest.raises(TypeError):
            change()
    assert only().what == "added sam"


def test_long_words_are_cut_and_line_breaks_written_out(owner: User):
    write(owner, GROUPS, "a\nact b by eve" + "x" * 2 * MOST_TEXT, thing="group g")

    assert only().what.startswith("a\\nact b")
    assert len(only().what) == MOST_TEXT


def test_name_in_vain_forges_no_line_of_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")

    write("olive from 10.0.0.1: signed in", SIGN_IN, "could not sign in", address="::1")

    assert "by olive from" not in caplog.text
    assert "by 'olive from 10.0.0.1: signed in' from ::1: could not" in caplog.text


def test_run_has_its_outcome_where_it_began(make_run: MakeRun, owner: User):
    run = make_run()
    record_act(owner, Act.UP, run.testbed, "Up", run=run)
    began = Entry.objects.listed().get()
    before = (began.result, began.said)

    finish_run(run.pk, Run.Status.FAILED)

    ended = Entry.objects.listed().get()
    assert before == ("running", "")
    assert (ended.result, ended.said) == ("failed", "The run failed.")


def test_old_entries_are_removed_and_the_others_stay(
    owner: User, settings: pytest.FixtureRequest
):
    settings.KEEP_RECORD_DAYS = 30
    for days in (31, 32, 29):
        Entry(
            user="olive",
            act=GROUPS,
            what=f"{days}",
            outcome="done",
            at=timezone.now() - timedelta(days=days),
        ).save()

    removed = [forget_old_entries(most=1) for _ in range(3)]

    assert removed == [1, 1, 0]
    assert only().what == "29"


def test_record_is_kept_for_ever_with_0(settings: pytest.FixtureRequest):
    settings.KEEP_RECORD_DAYS = 0
    old = timezone.now() - timedelta(days=9_999)
    Entry(user="olive", act=GROUPS, what="old", outcome="done", at=old).save()

    assert forget_old_entries() == 0
    assert only().what == "old"
