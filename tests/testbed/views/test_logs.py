"""The log of a run in the browser: its end, earlier lines, and all of it as a file."""

import re

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from orchestration.events import LogLine, Stream
from orchestration.transport.output import Output
from testbed.models import Run, Testbed
from testbed.pages.logs import LOG_LINES, TEXT_LINES, LogFilter
from testbed.runs.event_rows import PIECE_CHARACTERS
from testbed.runs.recorder import Recorder
from tests.testbed.conftest import MakeRun
from tests.testbed.event_rows import say
from tests.testbed.reading import visible

pytestmark = pytest.mark.database


async def download(run: Run, user: User, query: str = "") -> str:
    """Fetch the log as Daphne would, part by part."""
    client = AsyncClient()
    await client.aforce_login(user)
    accept = {"accept-encoding": "gzip"}
    answer = await client.get(f"/runs/{run.pk}/log.txt{query}", headers=accept)
    assert answer.status_code == 200
    # Browsers stop after the first of many gzip members.
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    return "".join([part.decode() async for part in answer.streaming_content])


def test_filter_asks_for_nothing_that_a_database_refuses(
    browser: Client, make_run: MakeRun
):
    chosen = LogFilter("we\0b", "ma\ud800in")

    assert chosen.words == {"resource": "we␀b", "host": "ma�in"}
    number = make_run().pk
    for address in ("log/?resource=%00", "log.txt?host=%00", "?resource=%00"):
        assert browser.get(f"/runs/{number}/{address}").status_code == 200
    assert browser.get(f"/runs/{number}/stage/?name=%00").status_code == 404


def test_log_is_loaded_back_to_its_start(browser: Client, make_run: MakeRun):
    run = make_run()
    say(run, [f"line {number:04}" for number in range(LOG_LINES + 5)])

    page = browser.get(f"/runs/{run.pk}/").content.decode()
    first = run.last_seq - LOG_LINES + 1
    earlier = browser.get(f"/runs/{run.pk}/log/?before={first}").content.decode()

    assert ("line 0004" in page, "line 0005" in page) == (False, True)
    assert f'name="before" value="{first}"' in page
    assert ("line 0004" in earlier, "line 0005" in earlier) == (True, False)
    assert is_hidden(earlier, "log-earlier")
    assert not is_hidden(page, "log-earlier")


def test_earlier_lines_are_a_page_without_a_script(browser: Client, make_run: MakeRun):
    run = make_run()
    say(run, ["first", "second", "third"])

    page = browser.get(f"/runs/{run.pk}/?before={run.last_seq}").content.decode()

    assert ("second" in page, "third" in page) == (True, False)
    assert not is_hidden(page, "log-newer")


def is_hidden(page: str, element: str) -> bool:
    tag = re.search(rf'<[^>]* id="{element}"[^>]*>', page)
    assert tag
    return " hidden" in tag[0]


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30])
def test_nonsense_before_is_the_end(browser: Client, make_run: MakeRun, before: str):
    run = make_run()
    say(run, ["only"])

    page = browser.get(f"/runs/{run.pk}/log/?before={before}").content.decode()

    assert "only" in page


def test_log_of_one_resource(browser: Client, make_run: MakeRun):
    run = make_run()
    say(run, ["from web"], "web", "main")
    say(run, ["from db"], "db", "host-b")

    page = browser.get(f"/runs/{run.pk}/log/?resource=db&host=host-b").content.decode()

    assert ("from db" in page, "from web" in page) == (True, False)
    assert 'data-resource="db" data-host="host-b"' in page
    assert "log.txt?resource=db&amp;host=host-b" in page


@pytest.mark.django_db(transaction=True)
async def test_whole_log_is_downloaded_as_text(owner: User, make_run: MakeRun):
    run = await sync_to_async(make_run)()
    plain = [f"line {n}" for n in range(2 * TEXT_LINES)]
    said = ["\x1b[31mred\x1b[0m", "<plain>", *plain]
    await sync_to_async(say)(run, said)

    text = await download(run, owner)

    assert text.endswith("\n")
    lines = text.splitlines()
    assert [line.partition(" main web stdout: ")[2] for line in lines] == [
        "red",
        "<plain>",
        *plain,
    ]


@pytest.mark.django_db(transaction=True)
async def test_lines_of_the_whole_testbed_have_its_name(
    owner: User, make_run: MakeRun, browser: Client
):
    run = await sync_to_async(make_run)()
    testbeds = Testbed.objects.filter(pk=run.testbed.pk)
    await testbeds.aupdate(name="ring")
    await sync_to_async(say)(run, ["one"], run.testbed.key)
    await sync_to_async(say)(run, ["two"], "")

    text = await download(run, owner)
    chosen = await download(run, owner, "?resource=ring")
    page = await sync_to_async(browser.get)(f"/runs/{run.pk}/log/")

    assert [line.split(" ", 1)[1] for line in text.splitlines()] == [
        "main ring stdout: one",
        "main ring stdout: two",
    ]
    assert chosen.endswith("main ring stdout: one\n")
    assert visible(page.content.decode()).count(" ring ") == 2


@pytest.mark.django_db(transaction=True)
async def test_guest_with_the_name_of_its_testbed_has_its_lines_alone(
    owner: User, make_run: MakeRun
):
    run = await sync_to_async(make_run)()
    await Testbed.objects.filter(pk=run.testbed.pk).aupdate(name="ring")
    await sync_to_async(say)(run, ["one"], run.testbed.key)
    await sync_to_async(say)(run, ["two"], "ring")

    chosen = await download(run, owner, "?resource=ring")

    assert chosen.endswith("main ring stdout: two\n")
    assert chosen.count("\n") == 1


@pytest.mark.django_db(transaction=True)
async def test_download_is_of_the_chosen_resource_and_may_be_empty(
    owner: User, make_run: MakeRun
):
    run = await sync_to_async(make_run)()
    await sync_to_async(say)(run, ["one"], "web")
    await sync_to_async(say)(run, ["two"], "db")

    chosen = await download(run, owner, "?resource=db")
    nobody = await download(run, owner, "?resource=nobody")

    assert chosen.endswith("db stdout: two\n")
    assert chosen.count("\n") == 1
    assert nobody == ""


@pytest.mark.django_db(transaction=True)
async def test_line_that_was_stored_in_pieces_is_downloaded_as_one(
    owner: User, make_run: MakeRun
):
    run = await sync_to_async(make_run)()
    before, long = "x\n" * (TEXT_LINES - 2), "long" * PIECE_CHARACTERS

    await sync_to_async(print_bytes)(run, f"{before}{long}\nshort\n".encode())

    *_, first, second = (await download(run, owner)).splitlines()
    assert first.endswith(f"stdout: {long}")
    assert second.endswith("stdout: short")


def print_bytes(run: Run, *parts: bytes) -> None:
    """Print bytes as a command of guest web does, through transport and recorder."""
    recorder = Recorder(run.pk)
    output = Output(
        Stream.STDOUT,
        lambda stream, text: recorder.sink(LogLine(0, "web", "main", stream, text)),
    )
    for part in parts:
        output.feed(part)
    output.close()
    recorder.close()


@pytest.mark.django_db(transaction=True)
def test_everything_that_a_guest_can_print_is_shown_safely(
    browser: Client, make_run: MakeRun
):
    run = make_run()
    printed = [
        b"</script><script>alert(1)</script>\n",
        b"\x1b[31mred\x1b[0m \x1b]0;title\x07after\n",
        b"not utf-8 \xff\xc3\x28 nul \x00 end\n",
        "right \u202e left \u200b none\n".encode(),
        bytes(range(256)) * 40 + b"\n",
        b"x" * 1500 + b"y\n",
    ]

    print_bytes(run, *printed)

    page = browser.get(f"/runs/{run.pk}/").content.decode()
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert "red after</span>" in page
    assert "not utf-8 \ufffd\ufffd( nul ␀ end" in page
    assert "right &lt;U+202E&gt; left &lt;U+200B&gt; none" in page
    assert "501 more characters" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]", page)


@pytest.mark.django_db(transaction=True)
def test_line_of_ten_megabytes_costs_the_page_little(
    browser: Client, make_run: MakeRun
):
    run = make_run()
    mebibyte = b"m" * 1024 * 1024

    print_bytes(run, *[mebibyte] * 10, b"\nafter\n")

    assert sum(len(event.text) for event in run.events.all()) == 10 * 1024**2 + 5
    page = browser.get(f"/runs/{run.pk}/").content.decode()
    assert ">after</span>" in page
    assert "3096 more characters" in page
    assert len(page) < 3_000_000
