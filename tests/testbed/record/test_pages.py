"""The pages of the record: chosen, paged, linked, downloaded, and for whom."""

import csv
import io

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.test import Client

from testbed.access.permissions import Act, record_act
from testbed.access.record import write
from testbed.models import Entry, Run, Testbed
from testbed.models.record.entries import GROUPS
from tests.testbed.conftest import MakeRun, ShareWith

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_admin(admin: User) -> Client:
    client = Client(REMOTE_ADDR="192.0.2.7")
    client.force_login(admin)
    return client


@pytest.fixture
def as_owner(owner: User) -> Client:
    client = Client(REMOTE_ADDR="192.0.2.8")
    client.force_login(owner)
    return client


def text_of(answer: StreamingHttpResponse) -> str:
    async def read() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(read)().decode()


def rows(client: Client, query: str = "") -> list[str]:
    return [row.entry.what for row in client.get(f"/record/?{query}").context["rows"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["added sam", "saved a.sh"]),
        ("user=OLIVE", ["saved a.sh"]),
        ("act=groups", ["added sam"]),
        ("text=course", ["added sam"]),
        ("text=a.sh", ["saved a.sh"]),
        ("outcome=done", ["added sam", "saved a.sh"]),
        ("outcome=failed", []),
        ("since=2020-01-01", ["added sam", "saved a.sh"]),
        ("until=2020-01-01", []),
        ("since=tomorrow", []),
        ("since=0001-01-01", []),
        ("since=1970-01-01&until=9998-12-31", ["added sam", "saved a.sh"]),
        ("until=9999-12-31", []),
        ("act=nothing", []),
        ("user=%00", []),
    ],
)
def test_entries_are_chosen(
    as_admin: Client,
    testbed: Testbed,
    owner: User,
    admin: User,
    query: str,
    expected: list[str],
):
    QuerySet.delete(Entry.objects.all())
    record_act(owner, Act.EDIT, testbed, "saved a.sh")
    write(admin, GROUPS, "added sam", thing="group course")

    assert rows(as_admin, query) == expected


def test_request_is_recorded_with_its_address(as_owner: Client, testbed: Testbed):
    as_owner.post("/testbeds/olive/lab/files/new/")
    as_owner.post(
        "/testbeds/olive/lab/edit/note.txt?new",
        {"text": "hello", "seen": "", "take": ""},
    )

    entry = Entry.objects.get(act="edit")
    assert (entry.what, entry.address) == ("saved note.txt", "192.0.2.8")


def test_owner_sees_the_own_testbeds_acts_without_addresses(
    as_owner: Client, testbed: Testbed, admin: User, share: ShareWith
):
    record_act(admin, Act.EDIT, testbed, "saved a.sh")
    write(admin, GROUPS, "added sam", thing="group course")
    Entry(
        user="ada",
        act="edit",
        thing="lab",
        what="of another with this number",
        outcome="done",
        testbed_number=testbed.number,
        at=testbed.created_at.replace(year=2020),
        address="192.0.2.9",
    ).save()

    page = as_owner.get("/testbeds/olive/lab/record/")

    assert [row.entry.what for row in page.context["rows"]] == ["saved a.sh"]
    assert "192.0.2." not in page.content.decode()
    assert "lab admin" in page.content.decode()


def test_table_for_programs_has_all_and_computes_nothing(
    as_admin: Client, owner: User, make_run: MakeRun
):
    QuerySet.delete(Entry.objects.all())
    run = make_run()
    record_act(owner, Act.EXECUTE, run.testbed, '=HYPERLINK("x")', run=run)

    answer = as_admin.get("/record/download/?act=execute")

    [line] = csv.DictReader(io.StringIO(text_of(answer)))
    assert line["what"] == '\'=HYPERLINK("x")'
    assert (line["user"], line["run"], line["outcome"]) == (
        "olive",
        str(run.pk),
        "running",
    )


def test_things_that_are_gone_have_no_link(
    as_admin: Client, owner: User, make_run: MakeRun
):
    run = make_run()
    Testbed.objects.update(number=0)
    run.testbed.refresh_from_db()
    record_act(owner, Act.UP, run.testbed, "Up", run=run)
    number = run.pk
    with_links = as_admin.get("/record/?act=up").content.decode()
    Run.objects.all().delete()
    run.testbed.delete()

    without = as_admin.get("/record/?act=up").content.decode()

    assert f'href="/runs/{number}/"' in with_links
    assert 'href="/testbeds/olive/lab/"' in with_links
    assert f"#{number}" in without
    assert "/runs/" not in without
    assert 'href="/testbeds/olive/lab/"' not in without


def test_page_of_many_entries_takes_few_queries(
    as_admin: Client, owner: User, make_run: MakeRun, django_assert_max_num_queries
):
    run = make_run()
    for number in range(120):
        record_act(owner, Act.UP, run.testbed, f"Up {number}", run=run)

    with django_assert_max_num_queries(10):
        page = as_admin.get("/record/?act=up&page=2")

    assert len(page.context["rows"]) == 50
    assert "page=3" in page.content.decode()


def test_sign_in_and_out_are_recorded(owner: User):
    client = Client(REMOTE_ADDR="192.0.2.3")
    client.post("/login/", {"username": "olive", "password": "no"})
    client.post("/login/", {"username": "olive", "password": "olive-pass"})
    client.post("/logout/")

    found = Entry.objects.order_by("pk").values_list("what", "outcome", "address")
    assert list(found) == [
        ("could not sign in", "failed", "192.0.2.3"),
        ("signed in", "done", "192.0.2.3"),
        ("signed out", "done", "192.0.2.3"),
    ]


def test_admins_pages_are_recorded(as_admin: Client):
    as_admin.post("/admin/auth/group/add/", {"name": "course"})

    entry = Entry.objects.get(act="admin_pages")
    assert Group.objects.get().name == "course"
    assert (entry.user, entry.thing, entry.address) == (
        "ada",
        "group course",
        "192.0.2.7",
    )
    assert entry.what == "Added."


def test_record_of_a_testbed_does_not_name_it_in_each_row(
    as_owner: Client, as_admin: Client, testbed: Testbed, owner: User
):
    record_act(owner, Act.EDIT, testbed, "saved a.sh")

    own = as_owner.get("/testbeds/olive/lab/record/").content.decode()
    whole = as_admin.get("/record/").content.decode()

    assert "saved a.sh" in own
    assert 'data-label="On"' not in own
    assert 'data-label="On"' in whole
