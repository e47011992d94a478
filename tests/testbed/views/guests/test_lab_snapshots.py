"""The admin's list of all snapshots: filters, totals, and acts that become runs."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.providers.libvirt.snapshots.text import Label
from testbed.models import (
    LabSnapshot,
    ObservedSnapshots,
    Run,
    SnapshotOrder,
    Testbed,
)
from testbed.runs.outcome import finish_run
from testbed.snapshots.orders import start_waiting
from testbed.testbeds.erasure.protection import lift, protect
from tests.testbed.confirming import answered
from tests.testbed.reading import visible
from tests.testbed.snapshots.rows import MIB, TAKEN, keys, put, taken

LIST = "/admin/testbed/labsnapshot/"
ORDERS = "/admin/testbed/snapshotorder/"
DAY = 86_400
GIB = 1024**3


@pytest.fixture(autouse=True)
def lab(generated: Testbed, doors: object, member: User) -> Testbed:
    """The testbed up, with snapshots of both guests, and one of another owner's."""
    Testbed.objects.update(condition=Testbed.Condition.UP)
    generated.refresh_from_db()
    now = int(timezone.now().timestamp())
    put(
        generated,
        "web",
        taken("base"),
        taken("fresh", parent="base", created_at=now - 60),
        disk_bytes=2 * GIB,
    )
    put(generated, "db", taken("base", status="paused"), host="host-b")
    other = Testbed.objects.create(owner=member, slug="other", number=8)
    off = {"has_memory": False, "memory_bytes": 0, "status": "shut off"}
    put(other, "alone", taken("by-virsh", label=Label(), **off), host="host-b")
    return generated


def titles(page: Client, query: str = "") -> list[str]:
    answer = page.get(f"{LIST}?{query}")
    assert answer.status_code == 200
    found = answer.context_data["cl"].result_list
    return sorted(f"{row.guest.name} {row.title}" for row in found)


def asked(page: Client, action: str, *rows: str):
    """Choose an act of the list, and return the question."""
    answer = page.post(LIST, {"action": action, "_selected_action": rows}, follow=True)
    assert answer.status_code in (200, 422), answer.redirect_chain
    return answer


ALL = ["alone by-virsh", "db base", "web base", "web fresh"]


def test_list_has_the_snapshots_of_all_testbeds_and_says_when(page: Client):
    assert titles(page) == ALL
    words = visible(page.get(LIST).content.decode())
    assert "updated just now" in words
    assert "golden images are not guests" in words
    assert 'href="/admin/testbed/labsnapshot/"' in page.get("/hosts/").content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("guest__host=host-b", ["alone by-virsh", "db base"]),
        ("has_memory__exact=0", ["alone by-virsh"]),
        ("is_outside__exact=1", ["alone by-virsh"]),
        ("age=-1", ["web fresh"]),
        ("disk=1", ["web base", "web fresh"]),
        ("age=x&disk=x", None),
        ("q=other", ["alone by-virsh"]),
    ],
)
def test_filters_leave_what_they_say(page: Client, query: str, found: list[str] | None):
    if found is None:
        assert page.get(f"{LIST}?{query}").status_code == 200
    else:
        assert titles(page, query) == found


def test_old_ones_are_found_by_their_age(page: Client, lab: Testbed):
    week_ago = timezone.now() - timedelta(days=8)
    LabSnapshot.objects.exclude(title="fresh").update(taken_at=week_ago)

    assert titles(page, "age=7") == ["alone by-virsh", "db base", "web base"]
    assert titles(page, "age=-7") == ["web fresh"]


def test_testbed_and_owner_are_filters(page: Client, lab: Testbed, member: User):
    assert titles(page, f"guest__testbed__id__exact={lab.pk}") == ALL[1:]
    by_owner = f"guest__testbed__owner__id__exact={member.pk}"
    assert titles(page, by_owner) == ALL[:1]


def test_totals_are_those_of_what_the_filters_leave(page: Client):
    everything = dict(page.get(LIST).context_data["totals"])
    of_host = dict(page.get(f"{LIST}?guest__host=host-b").context_data["totals"])

    lab, other = everything["Testbed"]
    assert (lab["name"], lab["guests"], lab["count"]) == ("olive/lab", 2, 3)
    assert lab["memory"] == 3 * 97 * MIB
    assert lab["disk_bytes"] == 2 * GIB + 350 * MIB
    assert (other["name"], other["guests"], other["count"]) == ("mark/other", 1, 1)
    (host,) = of_host["Host"]
    assert (host["name"], host["guests"], host["count"]) == ("host-b", 2, 2)
    assert host["memory"] == 97 * MIB


def test_deletion_asks_and_becomes_a_run_of_each_name_one_after_the_other(
    page: Client, admin: User, lab: Testbed, caplog: pytest.LogCaptureFixture
):
    rows = LabSnapshot.objects.filter(guest__testbed=lab).values_list("pk", flat=True)
    question = asked(page, "delete_them", *map(str, rows))
    assert not Run.objects.exists()
    with caplog.at_level("INFO"):
        answer = answered(page, question)

    words = visible(question.content.decode())
    assert "Delete 3 snapshots?" in words
    assert "base on main snapshot of web in olive/lab" in words
    assert "97.0 MiB" in words
    assert answer["Location"] == ORDERS
    first = Run.objects.get()
    assert (first.title, first.asked_by) == ("Delete snapshot base", admin)
    assert first.options["selection"] == "db,web"
    assert (
        "act delete_snapshot by ada (lab admin) on olive's testbed lab: "
        f"Delete snapshot base of db,web, run {first.pk}" in caplog.text
    )
    assert start_waiting() == 0
    finish_run(first.pk, Run.Status.FAILED)
    assert start_waiting() == 1
    second = Run.objects.exclude(pk=first.pk).get()
    assert (second.title, second.options["selection"]) == (
        "Delete snapshot fresh",
        "web",
    )
    listed = page.get(ORDERS).content.decode()
    assert f'href="/runs/{first.pk}/"' in listed
    assert f"run {first.pk}: failed" in listed


def test_restore_keeps_the_present_state_where_wanted(page: Client, lab: Testbed):
    web, db = LabSnapshot.objects.filter(title="base").order_by("-guest__name")
    answered(page, asked(page, "restore_keeping", web.pk, db.pk))

    run = Run.objects.get()
    assert [entry["kind"] for entry in run.plan["instructions"]] == [
        "create-snapshots",
        "restore-snapshots",
        "end",
    ]
    assert run.options["leaves"] == {"web": "running", "db": "paused"}


def test_restore_without_keeping_says_what_is_lost(page: Client, lab: Testbed):
    question = asked(page, "restore_them", *keys("fresh"))
    answered(page, question)

    words = visible(question.content.decode())
    assert "The present state of each is lost." in words
    assert "web on main of olive/lab returns to fresh" in words
    run = Run.objects.get()
    kinds = [entry["kind"] for entry in run.plan["instructions"]]
    assert kinds == ["restore-snapshots", "end"]


def test_guest_returns_to_one_snapshot_only(page: Client):
    rows = LabSnapshot.objects.filter(guest__name="web").values_list("pk", flat=True)

    answer = asked(page, "restore_them", *map(str, rows))

    assert answer.status_code == 422
    assert "cannot return to several" in visible(answer.content.decode())


def test_answer_counts_for_what_was_shown_only(page: Client, lab: Testbed):
    rows = LabSnapshot.objects.filter(guest__testbed=lab).values_list("pk", flat=True)
    question = asked(page, "delete_them", *map(str, rows))
    LabSnapshot.objects.filter(title="fresh").update(created_s=TAKEN + 5)

    answer = answered(page, question)

    assert answer.status_code == 422
    assert "The list has changed" in visible(answer.content.decode())
    assert not Run.objects.exists()
    assert not SnapshotOrder.objects.exists()


@pytest.mark.parametrize("action", ["delete_them", "restore_them"])
def test_protection_refuses_all_before_anything_is_ordered(
    page: Client, lab: Testbed, owner: User, action: str
):
    protect(lab, owner, "web")
    question = asked(page, action, *keys("fresh", "by-virsh"))

    answer = answered(page, question)

    assert answer.status_code == 423
    assert "Guest web is protected by olive" in visible(answer.content.decode())
    assert not SnapshotOrder.objects.exists()
    kept = asked(page, "restore_keeping", *keys("fresh"))
    assert answered(page, kept).status_code == 302


def test_protection_that_came_later_refuses_the_act_that_waits(
    page: Client, lab: Testbed, owner: User
):
    rows = LabSnapshot.objects.filter(guest__name="web").values_list("pk", flat=True)
    answered(page, asked(page, "delete_them", *map(str, rows)))
    finish_run(Run.objects.get().pk, Run.Status.SUCCEEDED)
    protect(lab, owner)

    assert start_waiting() == 0

    refused = SnapshotOrder.objects.get(status="refused")
    assert "Testbed lab is protected by olive" in refused.message
    assert "Testbed lab is protected" in visible(page.get(ORDERS).content.decode())
    lift(lab)
    assert start_waiting() == 0


def test_right_that_was_lost_refuses_the_act_that_waits(
    page: Client, lab: Testbed, admin: User
):
    rows = LabSnapshot.objects.filter(guest__name="web").values_list("pk", flat=True)
    answered(page, asked(page, "delete_them", *map(str, rows)))
    finish_run(Run.objects.get().pk, Run.Status.SUCCEEDED)
    User.objects.filter(pk=admin.pk).update(is_superuser=False)

    assert start_waiting() == 0

    refused = SnapshotOrder.objects.get(status="refused")
    assert "you may not delete snapshots" in refused.message


def test_waiting_act_is_given_up_and_one_that_started_is_a_record(
    page: Client, lab: Testbed
):
    rows = LabSnapshot.objects.filter(guest__name="web").values_list("pk", flat=True)
    answered(page, asked(page, "delete_them", *map(str, rows)))
    started = SnapshotOrder.objects.get(status="started")
    waiting = SnapshotOrder.objects.get(status="waiting")

    both = {"action": "delete_selected", "_selected_action": [started.pk, waiting.pk]}
    assert page.post(ORDERS, both | {"post": "yes"}).status_code == 403
    record = page.post(f"{ORDERS}{started.pk}/delete/", {"post": "yes"})
    page.post(f"{ORDERS}{waiting.pk}/delete/", {"post": "yes"})

    assert record.status_code == 403
    assert SnapshotOrder.objects.get() == started


def test_testbed_that_is_down_refuses_with_its_reason(page: Client, lab: Testbed):
    answered(page, asked(page, "delete_them", *keys("by-virsh")))

    refused = SnapshotOrder.objects.get()
    assert refused.status == "refused"
    assert "Testbed mark/other is not up" in refused.message


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("verb=rename&pick=1", "No act is chosen."),
        ("verb=delete&pick=x&pick=²", "No snapshot that is still there"),
        ("verb=delete&pick=" + "9" * 30, "No snapshot that is still there"),
        ("verb=delete&pick=" + "9" * 5000, "No snapshot that is still there"),
        ("verb=delete&" + "pick=7&" * 201, "More than 200 snapshots are chosen."),
    ],
)
def test_odd_request_is_refused_with_a_sentence(
    page: Client, query: str, sentence: str
):
    answer = page.get(f"/snapshots/act/?{query}")

    assert answer.status_code == 422
    assert sentence in visible(answer.content.decode())


def test_external_snapshot_is_refused(page: Client, lab: Testbed):
    put(lab, "web", taken("outer", is_external=True, label=Label()))

    answer = asked(page, "delete_them", *keys("outer"))

    assert answer.status_code == 422
    assert "outer of web cannot be deleted" in visible(answer.content.decode())


def test_refresh_lets_the_next_look_read_all(page: Client):
    answer = page.post("/snapshots/refresh/")

    assert answer["Location"] == LIST
    limit = timezone.now() - timedelta(minutes=5)
    assert not ObservedSnapshots.objects.filter(read_at__gt=limit).exists()


def test_number_of_queries_does_not_grow(
    page: Client, lab: Testbed, django_assert_max_num_queries
):
    put(lab, "web", *(taken(f"s{i}") for i in range(40)))

    with django_assert_max_num_queries(22):
        page.get(LIST)
