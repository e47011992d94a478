"""The whole serial log on a guest's page: asked for, then downloaded."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import Client

from testbed.models import Run, Task, Testbed
from tests.testbed.answer_rows import end
from tests.testbed.confirming import answered
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/guests/web/"
EXEC = "/testbeds/olive/lab/exec/"
ASK = {"form": "serial-log", "selection": "web"}
LOG = b"\x1b[2JBooting <b>\r\n"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


def fetched(browser: Client) -> Run:
    """Fetch the log of guest web, as a worker would."""
    browser.post(EXEC, ASK)
    run = Run.objects.latest("pk")
    folder = run.testbed.project.fetched(run.pk) / "web"
    folder.mkdir(parents=True)
    (folder / "web-serial.log").write_bytes(LOG)
    Task.objects.filter(instruction__run=run).update(status="done")
    end(run)
    return run


def body(answer: StreamingHttpResponse) -> bytes:
    async def read() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(read)()


def test_button_starts_a_run_beside_others(browser: Client):
    page = squeezed(browser.get(PAGE).content.decode())

    answer = browser.post(EXEC, ASK)

    assert 'id="fetch-log" name="form" value="serial-log"' in page
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.command, run.name, run.is_exclusive) == ("exec", "Serial log", False)
    tasks = Task.objects.values_list("instruction__kind", "resource", "host")
    assert list(tasks) == [("fetch-serial-logs", "web", "main")]


def test_page_leads_to_the_newest_log(browser: Client):
    fetched(browser)
    run = fetched(browser)

    page = squeezed(browser.get(PAGE).content.decode())

    address = f"/runs/{run.pk}/fetched/file/?guest=web&path=web-serial.log"
    assert f'href="{address.replace("&", "&amp;")}"' in page
    assert f"{len(LOG)} B, fetched just now by run #{run.pk}" in visible(page)
    answer = browser.get(address)
    assert body(answer) == LOG
    assert 'filename="web-serial.log"' in answer.headers["Content-Disposition"]


def test_log_that_was_deleted_is_offered_no_more(browser: Client):
    run = fetched(browser)
    answered(browser, browser.get(f"/runs/{run.pk}/fetched/delete/"))

    page = browser.get(PAGE)

    assert page.status_code == 200
    assert "web-serial.log" not in page.content.decode()


def test_run_page_leads_to_the_file_and_back(browser: Client):
    run = fetched(browser)

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert f'href="/runs/{run.pk}/fetched/?guest=web"' in page
    assert f'href="{PAGE}"' in page
    assert "Edit and run" not in visible(page)


def test_stranger_can_neither_ask_nor_take(
    browser: Client, client: Client, stranger: User
):
    run = fetched(browser)
    client.force_login(stranger)

    address = f"/runs/{run.pk}/fetched/file/?guest=web&path=web-serial.log"
    assert client.post(EXEC, ASK).status_code == 404
    assert client.get(address).status_code == 404
    assert Run.objects.count() == 1


def test_viewer_starts_no_run_for_the_log(
    browser: Client, testbed: Testbed, share: ShareWith
):
    browser.force_login(share(testbed, "viewer"))

    assert browser.post(EXEC, ASK).status_code == 403
    assert not Run.objects.exists()


def test_hosts_have_no_serial_log(client: Client, admin: User):
    client.force_login(admin)
    wish = ASK | {"targets": "hosts", "selection": "main"}

    assert client.post(EXEC, wish).status_code == 422
