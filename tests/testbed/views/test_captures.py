"""Captures over HTTP: started from the page, followed and downloaded while they run."""

import asyncio

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.captures import Capture
from orchestration.plan.execution import Execution, Form
from testbed.models import Event, Run, Task, Testbed
from testbed.pages import streaming
from testbed.runs.kept import capture_file
from testbed.websocket.fragments import html_of
from tests.testbed.answer_rows import end, execution
from tests.testbed.reading import visible

pytestmark = pytest.mark.django_db(transaction=True)
START, EXEC = "/testbeds/olive/lab/captures/", "/testbeds/olive/lab/exec/"
WANTED = Execution(
    Form.CAPTURE,
    "web",
    tool=True,
    capture=Capture("web", filter="icmp", most_mib=64, most_s=600),
)


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


@pytest.fixture
def running(deployed: Testbed, owner: User) -> Run:
    """A capture that has kept some bytes."""
    run = execution(deployed, owner, ("web",), WANTED)
    capture_file(run).parent.mkdir(parents=True)
    capture_file(run).write_bytes(b"first ")
    run.driver, run.status = Run.Driver.SERVER, Run.Status.RUNNING
    run.save()
    return run


@async_to_sync
async def whole(answer) -> bytes:
    return b"".join([part async for part in answer.streaming_content])


def interface_of(testbed: Testbed) -> str:
    return testbed.project.read_state().guest("web").interfaces[0].name


def test_form_starts_a_capture_with_the_usual_limits(
    browser: Client, deployed: Testbed
):
    place = f"web {interface_of(deployed)}"

    answer = browser.post(START, {"place": place, "filter": "icmp"})

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert run.options["capture"]["most_mib"] == 64
    assert run.options["capture"]["most_s"] == 600
    assert run.is_tool
    assert (run.title, run.options["selection"]) == ("capture icmp", place)


def test_form_starts_a_capture_of_a_whole_bridge(browser: Client, deployed: Testbed):
    bridge = deployed.project.read_state().network.bridges[0]
    place = f"bridge {bridge.name} on {bridge.host}"
    page = browser.get("/testbeds/olive/lab/").content.decode()

    browser.post(START, {"place": place})

    run = Run.objects.get()
    assert f"all of {place}" in visible(page)
    assert run.options["selection"] == place
    assert (run.has_mirror, run.target_noun) == (True, "bridge")


def test_program_starts_a_capture(browser: Client):
    body = {"form": "capture", "capture": {"guest": "web", "most_s": 5}}

    found = browser.post(EXEC, body, content_type="application/json").json()

    assert found["instructions"][0]["kind"] == "capture-packets"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"place": "nothing"}, "There is no guest nothing with an interface"),
        ({"place": "bridge no on main"}, "There is no bridge no in this testbed."),
        ({"filter": "host example.com"}, "The filter has the word example.com"),
        ({"most_mib": "5000"}, "more than one may take"),
        ({"most_mib": "x"}, "MiB: Enter a whole number."),
    ],
)
def test_refused_capture_is_a_sentence_and_no_run(browser: Client, values, sentence):
    answer = browser.post(START, {"place": "web", **values})

    assert answer.status_code == 422
    assert sentence in visible(answer.content.decode())
    assert not Run.objects.exists()


def test_testbed_keeps_a_limited_amount_of_packets(
    browser: Client, settings, running: Run
):
    settings.TESTBED_CAPTURES_MIB = 64

    answer = browser.post(START, {"place": "web"})

    assert answer.status_code == 422
    assert "of 64 MiB not 64 MiB are left" in visible(answer.content.decode())


def test_running_capture_counts_with_all_that_it_may_take(
    browser: Client, settings, running: Run
):
    settings.TESTBED_CAPTURES_MIB = 100

    answer = browser.post(START, {"place": "web", "most_mib": "37"})

    assert answer.status_code == 422
    assert "take 64 MiB, and of 100 MiB not 37 MiB" in visible(answer.content.decode())


def test_finished_capture_is_downloaded_as_a_file(browser: Client, running: Run):
    end(running)

    answer = browser.get(f"/runs/{running.pk}/capture.pcap")

    assert answer["Content-Disposition"] == (
        f'attachment; filename="lab-{running.pk}.pcap"'
    )
    assert whole(answer) == b"first "


async def test_download_of_a_running_capture_goes_on_until_it_ends(
    async_client, owner: User, running: Run
):
    await async_client.aforce_login(owner)
    answer = await async_client.get(f"/runs/{running.pk}/capture.pcap")
    pieces = aiter(answer.streaming_content)

    first = await anext(pieces)
    with capture_file(running).open("ab") as file:
        file.write(b"second")
    await Run.objects.filter(pk=running.pk).aupdate(status="succeeded")
    rest = [piece async for piece in pieces]

    assert (first, b"".join(rest)) == (b"first ", b"second")


@pytest.mark.parametrize("loss", ["sign-out", "testbed"])
async def test_download_of_a_running_capture_ends_with_the_right_to_it(
    async_client, owner: User, stranger: User, running: Run, loss: str
):
    await async_client.aforce_login(owner)
    answer = await async_client.get(f"/runs/{running.pk}/capture.pcap")
    pieces = aiter(answer.streaming_content)
    await anext(pieces)

    if loss == "sign-out":
        await async_client.alogout()
    else:
        await Testbed.objects.filter(pk=running.testbed_id).aupdate(owner=stranger)

    async with asyncio.timeout(20):
        assert [piece async for piece in pieces] == []


async def test_user_has_a_limited_number_of_open_downloads(
    async_client, owner: User, running: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streaming, "MOST_DOWNLOADS", 2)
    await async_client.aforce_login(owner)
    address = f"/runs/{running.pk}/capture.pcap"
    first, second = [await async_client.get(address) for _ in range(2)]

    refused = await async_client.get(address, headers={"Accept": "application/json"})
    first.close()
    again = await async_client.get(address)

    assert (second.status_code, again.status_code) == (200, 200)
    assert refused.status_code == 429
    assert refused.json()["error"].startswith("You have 2 open downloads;")


def test_other_runs_and_removed_files_have_no_packets(
    browser: Client, deployed: Testbed, owner: User, running: Run
):
    other = execution(deployed, owner, ("web",))
    end(running)
    capture_file(running).unlink()

    for run in (other, running):
        assert browser.get(f"/runs/{run.pk}/capture.pcap").status_code == 404


def test_page_of_a_capture_counts_its_packets_from_none_on(
    browser: Client, running: Run
):
    begun = visible(browser.get(f"/runs/{running.pk}/").content.decode())
    Task.objects.filter(instruction__run=running).update(done=3)
    progress = Event(kind=Event.Kind.TASK_PROGRESSED, index=0, resource="web")

    assert "0 packets, 6 B so far" in begun
    assert "3 packets, 6 B so far" in visible(html_of(progress, running))


def test_page_of_a_capture_says_how_to_follow_it(browser: Client, running: Run):
    text = visible(browser.get(f"/runs/{running.pk}/").content.decode())

    address = f"http://testserver/runs/{running.pk}/capture.pcap"
    assert f'curl -sN -b "sessionid=…" {address} | wireshark -k -i -' in text
    assert "only icmp ; it ends after 64 MiB or 600 s." in text
