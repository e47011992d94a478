"""The files that guests sent: their pages, downloads, and how they go."""

import io
import logging
import os
import shutil
import tarfile
from pathlib import Path
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone

from orchestration.plan.execution import Execution, Form
from testbed.models import Protection, Run, Task, Testbed
from tests.testbed.answer_rows import end, execution
from tests.testbed.confirming import answered
from tests.testbed.reading import visible

pytestmark = pytest.mark.django_db(transaction=True)
FETCH = Execution(Form.FETCH, "@all", path="/var/log")
ODD = os.fsdecode(b'odd\r\n"\xff\x1b[0m.txt')


@pytest.fixture
def run(testbed: Testbed, owner: User) -> Run:
    """A fetch of which web-0 sent three files, and web-1 none."""
    found = execution(testbed, owner, ("web-0", "web-1"), FETCH)
    tasks = Task.objects.filter(instruction__run=found)
    tasks.filter(resource="web-0").update(
        status="done", message="3 files, 2.0 KiB, digest verified"
    )
    tasks.filter(resource="web-1").update(status="failed", message="No such file.")
    log = sent(found) / "log"
    (log / "apt").mkdir(parents=True)
    (log / "syslog").write_bytes(b"x" * 2048)
    (log / "apt" / "<b>history").write_text("apt")
    (log / ODD).write_text("odd")
    end(found, "failed")
    return found


def sent(run: Run) -> Path:
    return run.testbed.project.fetched(run.pk) / "web-0"


def address(run: Run, part: str = "", guest: str = "web-0", path: str = "") -> str:
    query = urlencode({"guest": guest, "path": os.fsencode(path)})
    return f"/runs/{run.pk}/fetched/{part}?{query}"


def body(answer: StreamingHttpResponse) -> bytes:
    async def read() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(read)()


def packed(answer: StreamingHttpResponse) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(body(answer))) as archive:
        return archive.getnames()


def test_runs_page_leads_to_the_files_of_each_guest(browser: Client, run: Run):
    page = browser.get(f"/runs/{run.pk}/").content.decode()
    guests = browser.get(f"/runs/{run.pk}/fetched/").content.decode()

    assert f'href="/runs/{run.pk}/fetched/?guest=web-0"' in page
    assert f'href="/runs/{run.pk}/fetched/archive/"' in page
    assert "Files of web-1" not in visible(page)
    assert f'href="/runs/{run.pk}/fetched/?guest=web-0"' in guests
    assert f'href="/runs/{run.pk}/fetched/?guest=web-1"' not in guests
    assert "web-0 3 files, 2.0 KiB, digest verified" in visible(guests)


def test_folder_is_listed_with_sizes_and_ways_down(browser: Client, run: Run):
    page = browser.get(address(run, path="log")).content.decode()
    below = browser.get(address(run, path="log/apt")).content.decode()

    assert "web-0 / log" in visible(page)
    assert "syslog 2.0 KiB" in visible(page)
    assert "guest=web-0&amp;path=log%2Fapt" in page
    assert "&lt;b&gt;history" in below
    assert "<b>history" not in below


def test_name_of_any_bytes_is_shown_and_leads_to_its_file(browser: Client, run: Run):
    page = browser.get(address(run, path="log")).content.decode()
    found = browser.get(address(run, "file/", path=f"log/{ODD}"))

    assert "odd␍␊&quot;\N{REPLACEMENT CHARACTER}.txt" in page
    assert "path=log%2Fodd%0D%0A%22%FF%1B%5B0m.txt" in page
    assert body(found) == b"odd"
    disposition = found.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename*=utf-8''odd%E2%90%8D%E2%90%8A")


def test_file_is_sent_as_bytes_to_be_saved(browser: Client, run: Run):
    found = browser.get(address(run, "file/", path="log/syslog"))

    assert body(found) == b"x" * 2048
    assert found.headers["Content-Type"] == "application/octet-stream"
    assert found.headers["Content-Length"] == "2048"
    assert found.headers["Content-Disposition"] == 'attachment; filename="syslog"'
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in found.headers["Cache-Control"]


def test_archives_have_a_folder_a_guest_or_all(browser: Client, run: Run):
    folder = browser.get(address(run, "archive/", path="log/apt"))
    guest = browser.get(address(run, "archive/"))
    every = browser.get(f"/runs/{run.pk}/fetched/archive/")

    assert packed(folder) == ["apt", "apt/<b>history"]
    assert f'"lab-fetched-{run.pk}-web-0.tar"' in guest.headers["Content-Disposition"]
    assert packed(guest)[:2] == ["web-0", "web-0/log"]
    assert f"lab-fetched-{run.pk}/web-0/log/syslog" in packed(every)


@pytest.mark.parametrize(
    "path", ["..", "../web-0/log/syslog", "/etc/passwd", "log/gone", "log/link", "\0"]
)
def test_path_that_leads_elsewhere_is_not_found(browser: Client, run: Run, path: str):
    (sent(run) / "log" / "link").symlink_to("/etc/passwd")

    parts = ("", "file/", "archive/")
    found = {browser.get(address(run, part, path=path)).status_code for part in parts}

    assert found == {404}


@pytest.mark.parametrize("guest", ["..", ".web-0.part", "db", "web-0/log", "."])
def test_guest_that_was_not_asked_is_not_found(browser: Client, run: Run, guest: str):
    (sent(run).parent / ".web-0.part").mkdir()

    parts = ("", "file/", "archive/")
    found = {browser.get(address(run, part, guest)).status_code for part in parts}

    assert found == {404}


def test_stranger_gets_no_files(client: Client, stranger: User, run: Run):
    client.force_login(stranger)

    parts = ("", "file/", "archive/", "delete/")
    found = {
        client.get(address(run, part, path="log/syslog")).status_code for part in parts
    }

    assert found == {404}


def test_run_that_fetched_nothing_has_no_such_pages(
    browser: Client, testbed: Testbed, owner: User
):
    command = execution(testbed, owner, ("web-0",))

    assert browser.get(f"/runs/{command.pk}/fetched/").status_code == 404


def test_removed_files_are_said_on_each_page(browser: Client, run: Run):
    shutil.rmtree(sent(run).parent)
    Run.objects.filter(pk=run.pk).update(log_removed_at=timezone.now())

    pages = [
        visible(browser.get(place).content.decode())
        for place in (f"/runs/{run.pk}/", f"/runs/{run.pk}/fetched/", address(run))
    ]

    for page in pages:
        assert "The fetched files were removed with the log of this run" in page
        assert "Files of web-0" not in page
    assert browser.get(f"/runs/{run.pk}/fetched/archive/").status_code == 404


def test_files_are_deleted_after_a_question(browser: Client, run: Run):
    question = browser.get(f"/runs/{run.pk}/fetched/delete/")
    browser.post(f"/runs/{run.pk}/fetched/delete/")
    assert sent(run).exists()
    answered(browser, question)

    asked = visible(question.content.decode())
    assert "are removed from the main host" in asked
    assert "web-0" in asked
    assert not sent(run).exists()
    page = visible(browser.get(f"/runs/{run.pk}/").content.decode())
    assert "Fetched files of this run were deleted." in page


def test_files_of_a_protected_testbed_are_not_deleted(
    browser: Client, run: Run, owner: User
):
    question = browser.get(f"/runs/{run.pk}/fetched/delete/")
    Protection.objects.create(testbed=run.testbed, set_by=owner)

    assert answered(browser, question).status_code == 423
    assert sent(run).exists()


def test_files_of_a_run_that_goes_on_are_not_deleted(browser: Client, run: Run):
    Run.objects.filter(pk=run.pk).update(status="running")

    answer = browser.post(f"/runs/{run.pk}/fetched/delete/")

    assert answer.status_code == 404
    assert sent(run).exists()


def test_download_is_logged_with_its_user(
    browser: Client, run: Run, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        body(browser.get(address(run, "file/", path="log/syslog")))

    said = f"act take_fetched by olive on lab: run {run.pk}, web-0: log/syslog"
    assert said in caplog.messages
