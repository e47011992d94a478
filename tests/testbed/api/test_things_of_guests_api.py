"""Things of guests by the API: fetched files, packets, ways by SSH, loads, schedules."""

import io
import json
import os
import tarfile
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User

from orchestration.plan.captures import Capture
from orchestration.plan.execution import Execution, Form
from orchestration.providers.libvirt.snapshots.text import Label
from testbed.access.tokens import revoke_token
from testbed.models import ApiToken, Entry, Run, SnapshotSchedule, Task, Testbed
from testbed.runs.kept import capture_file
from tests.testbed.answer_rows import end, execution
from tests.testbed.api.conftest import Ask, asker
from tests.testbed.conftest import ShareWith
from tests.testbed.snapshots.rows import put, taken

FETCH = Execution(Form.FETCH, "@all", path="/var/log")
CAPTURE = Execution(
    Form.CAPTURE,
    "web",
    tool=True,
    capture=Capture("web", filter="icmp", most_mib=64, most_s=600),
)
ODD = os.fsdecode(b'odd\r\n"\xff\x1b[0m.txt')
LAB = "/testbeds/olive/lab"


@pytest.fixture
def fetch(testbed: Testbed, owner: User) -> Run:
    """A fetch that is over, of which web sent three files."""
    run = execution(testbed, owner, ("web",), FETCH)
    log = folder_of(run) / "log"
    (log / "apt").mkdir(parents=True)
    (log / "syslog").write_bytes(b"x" * 2048)
    (log / ODD).write_text("odd")
    Task.objects.filter(instruction__run=run).update(status="done")
    end(run, "succeeded")
    return run


def folder_of(run: Run) -> Path:
    return run.testbed.project.fetched(run.pk) / "web"


def query(path: str) -> str:
    return urlencode({"guest": "web", "path": os.fsencode(path)})


def test_fetched_files_are_listed_with_the_queries_that_lead_to_them(
    ask: Ask, fetch: Run
):
    guests = ask("GET", f"/runs/{fetch.pk}/fetched").json()
    top = ask("GET", f"/runs/{fetch.pk}/fetched?{guests['items'][0]['query']}").json()
    log = ask("GET", f"/runs/{fetch.pk}/fetched?{top['items'][0]['query']}").json()

    assert [one["name"] for one in guests["items"]] == ["web"]
    assert [(one["name"], one["folder"]) for one in top["items"]] == [("log", True)]
    sizes = {one["name"]: one["bytes"] for one in log["items"]}
    assert sizes == {
        "apt": None,
        'odd␍␊"\N{REPLACEMENT CHARACTER}.txt': 3,
        "syslog": 2048,
    }
    odd = next(one for one in log["items"] if one["bytes"] == 3)
    found = ask("GET", f"/runs/{fetch.pk}/fetched/file?{odd['query']}")
    assert (found.content, found.headers["Content-Length"]) == (b"odd", "3")


def test_fetched_files_come_as_one_archive_and_the_record_says_so(ask: Ask, fetch: Run):
    answer = ask("GET", f"/runs/{fetch.pk}/fetched/archive?{query('log')}")

    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert "log/syslog" in archive.getnames()
    assert Entry.objects.first().what == f"run {fetch.pk}, web: log"


@pytest.mark.parametrize(
    "asked",
    [
        "guest=web&path=../../state.json",
        "guest=web&path=/etc/passwd",
        "guest=web&path=log/none",
        "guest=../web&path=log/syslog",
        "guest=db&path=log/syslog",
    ],
)
def test_fetched_file_that_is_not_there_is_404(ask: Ask, fetch: Run, asked: str):
    for part in ("file", "archive"):
        answer = ask("GET", f"/runs/{fetch.pk}/fetched/{part}?{asked}")

        assert answer.status_code == 404


def test_deletion_of_fetched_files_asks_for_the_token_of_what_it_erases(
    ask: Ask, fetch: Run
):
    asked = ask("DELETE", f"/runs/{fetch.pk}/fetched")
    token = asked.json()["erases"]["confirm"]
    done = ask("DELETE", f"/runs/{fetch.pk}/fetched?confirm={token}")

    assert (asked.status_code, done.status_code) == (428, 204)
    assert not folder_of(fetch).exists()


def test_viewer_reads_no_fetched_files_and_a_stranger_no_run(
    fetch: Run, stranger: User, share: ShareWith
):
    viewer = share(fetch.testbed, "viewer")
    asked = f"/runs/{fetch.pk}/fetched/file?{query('log/syslog')}"

    assert asker(viewer, "run")("GET", asked).status_code == 403
    assert asker(stranger, "run")("GET", asked).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_packets_are_sent_to_the_end_and_not_after_the_token_was_revoked(
    generated: Testbed, owner: User
):
    run = execution(generated, owner, ("web",), CAPTURE)
    capture_file(run).parent.mkdir(parents=True)
    capture_file(run).write_bytes(b"packets")
    end(run, "succeeded")
    ask = asker(owner, "run")

    answer = ask("GET", f"/runs/{run.pk}/capture.pcap")
    revoke_token(ApiToken.objects.get())
    refused = ask("GET", f"/runs/{run.pk}/capture.pcap")

    assert answer.content == b"packets"
    assert refused.status_code == 401


def test_places_of_captures_and_ways_by_ssh_follow_the_state(
    ask: Ask, generated: Testbed
):
    places = ask("GET", f"{LAB}/captures").json()["items"]
    ways = ask("GET", f"{LAB}/ssh").json()

    assert any(one["place"].startswith("web ") for one in places)
    assert any(one["place"].startswith("bridge ") for one in places)
    assert "Host *" in ways["ssh_config"]
    assert Entry.objects.first().what == "took its SSH configuration"


def test_way_by_ssh_waits_for_a_state(ask: Ask, testbed: Testbed):
    assert ask("GET", f"{LAB}/ssh").status_code == 404
    assert ask("GET", f"{LAB}/artefacts").json() == {"items": [], "more": False}
    assert ask("GET", f"{LAB}/artefacts.zip").status_code == 404


def test_artefacts_are_listed_by_pages_and_read_without_secrets(
    ask: Ask, generated: Testbed
):
    first = ask("GET", f"{LAB}/artefacts?per_page=2").json()
    names = [one["name"] for one in first["items"]]
    state = ask("GET", f"{LAB}/artefacts/state.json")
    none = ask("GET", f"{LAB}/artefacts/guests/web/../../keys/id_ed25519")

    assert (names, first["more"]) == (["plan-up.txt", "state.json"], True)
    assert json.loads(state.content)["testbed"] == "lab"
    assert none.status_code == 404
    assert ask("GET", f"{LAB}/artefacts.zip").content.startswith(b"PK")


def test_load_of_guest_and_host_has_the_keys_of_the_page(ask: Ask, generated: Testbed):
    guest = ask("GET", f"{LAB}/guests/web/load?period=week")
    host = ask("GET", "/hosts/main/load")

    assert guest.json()["period"] == "week"
    assert set(host.json()) == {
        "period",
        "begins_at",
        "ends_at",
        "times",
        "columns",
        "table",
    }
    assert ask("GET", f"{LAB}/guests/none/load").status_code == 404
    assert ask("GET", f"{LAB}/guests/web/load?period=year").status_code == 422


def test_schedule_is_set_changed_and_removed(ask: Ask, testbed: Testbed):
    place = f"{LAB}/schedules/weekly"
    ask("PUT", place, {"at": "03:30", "weekday": 6, "keep": 2})
    changed = ask("PUT", place, {"at": "04:00:59.5+02:00", "weekday": 6, "keep": 3})

    (found,) = changed.json()["items"]
    assert (found["when"], found["keep"]) == ("every Saturday at 04:00 UTC", 3)
    assert ask("DELETE", place).status_code == 204
    assert ask("DELETE", place).status_code == 204
    assert not SnapshotSchedule.objects.exists()


@pytest.mark.parametrize(
    "wish",
    [
        {"every_h": 0},
        {"every_h": 24},
        {"every_h": 10**30},
        {"weekday": 7},
        {"keep": 0},
        {"keep": 100},
        {"at": "25:00"},
        {"at": None},
        {"other": 1},
    ],
)
def test_schedule_that_cannot_be_is_refused(
    ask: Ask, testbed: Testbed, wish: dict[str, object]
):
    assert ask("PUT", f"{LAB}/schedules/hourly", wish).status_code == 422
    assert ask("PUT", f"{LAB}/schedules/daily", {}).status_code == 422
    assert not SnapshotSchedule.objects.exists()


def test_schedule_that_keeps_fewer_asks_before_snapshots_die(
    ask: Ask, testbed: Testbed
):
    of_schedule = Label("olive", schedule="nightly")
    put(testbed, "web", *(taken(f"n{i}", label=of_schedule) for i in range(3)))

    asked = ask("PUT", f"{LAB}/schedules/nightly", {"keep": 1})
    token = asked.json()["erases"]["confirm"]
    done = ask("PUT", f"{LAB}/schedules/nightly", {"keep": 1, "confirm": token})

    assert (asked.status_code, done.status_code) == (428, 200)
    assert len(asked.json()["erases"]["losses"]) == 2
