"""From the click to the last answer on the page: the whole product, as a browser sees it.

Redis, web and worker are the product's own. The testbed is written as if it were up,
because its guests are the targets. The client does what the run's page does: it opens
the page, drives the run over the websocket with fragments, and fetches the list of
answers as often as `static/js/run/answers.js`.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.execution.deployed import MAIN, deploy
from benchmarks.execution.site import Site
from benchmarks.measuring import usage
from benchmarks.orchestrator import write_testbed
from testbed.client.watching import Frame, frames, send
from tests.live.pages import Pages
from tests.live.stack import Stack, simulated_stack
from tests.live.watch import project

OWNER = "owner"
# Nothing is observed meanwhile: no domain of these guests is there.
PACE = {"TESTBED_OBSERVE_EVERY_S": "86400", "TESTBED_SWEEP_EVERY_S": "5"}
FIRST_S, EVERY_S = 0.1, 0.7
QUERY = "?render=html&log=tail&batch=1"
AS_IF_UP = """
from testbed.models import Host, Testbed
Host.objects.filter(name="main").update(kind="real")
Testbed.objects.filter(name="{slug}").update(condition="up")
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One click: seconds to the last answer on the page, and what the page had."""

    seconds: float
    list_s: float
    page_bytes: int
    sent_bytes: int


@dataclass(slots=True)
class Answers:
    """The page's list of answers, fetched again when guests have answered."""

    pages: Pages
    address: str
    wanted: int
    over: int = 0
    list_s: float = 0.0
    _touched: threading.Condition = field(default_factory=threading.Condition)

    def touch(self, count: int) -> None:
        """Take the ends of `count` more guests."""
        with self._touched:
            self.over += count
            self._touched.notify_all()

    def follow(self) -> None:
        """Fetch until a list has every guest."""
        last = shown = 0
        while shown < self.wanted:
            with self._touched:
                self._touched.wait_for(lambda: self.over > shown)  # noqa: B023
            time.sleep(max(FIRST_S, last + EVERY_S - time.monotonic()))
            last, shown = time.monotonic(), self.over
            self.pages.read(self.address)
            self.list_s = time.monotonic() - last


class Page:
    """A testbed whose guests are the targets, and its owner's browser."""

    def __init__(self, stack: Stack, slug: str, count: int) -> None:
        self._stack = stack
        self._slug = slug
        self._count = count
        self._browser, self._lists = stack.client(OWNER), stack.client(OWNER).pages
        self._browser.pages.read("/")  # signed in

    def click(self, wanted: Frame) -> Seen:
        """Run a command on all guests and return what was seen of it."""
        started = time.monotonic()
        run = self._browser.ask(self._slug, "exec", **{"selection": "@all", **wanted})
        page = self._browser.pages.read(f"/runs/{run.number}/")
        answers = Answers(self._lists, f"/runs/{run.number}/answers/", self._count)
        follower = threading.Thread(target=answers.follow)
        follower.start()
        sent = 0
        address = f"/ws/orchestration/{run.number}/{QUERY}"
        with self._browser.pages.socket(address) as socket:
            waiting = list(run.instructions)
            send(socket, {"type": "subscribe", "after": 0})
            _send_next(socket, waiting)
            for frame in frames(socket):
                sent += len(str(frame))
                answers.touch(_ends(frame))
                if frame["type"] == "result":
                    _send_next(socket, waiting)
                if frame["type"] == "run":
                    break
        follower.join()
        seconds = time.monotonic() - started
        last = self._browser.pages.read(f"/runs/{run.number}/")
        self._require_all(run.number)
        size = max(len(page.encode()), len(last.encode()))
        return Seen(seconds, answers.list_s, size, sent)

    def _require_all(self, number: int) -> None:
        blocks = self._browser.answers(number)["blocks"]
        good = sum(block["count"] for block in blocks if block["exit_code"] == 0)
        if good != self._count:
            raise RuntimeError(f"{good} of {self._count} guests answered: {blocks[:1]}")

    def peaks_mib(self) -> tuple[float, float]:
        """Return the peak memory of the web, and of the largest worker process."""
        web, worker = (self._stack.processes[n].pid for n in ("web", "worker"))
        return usage(web).peak_mib, usage(worker).largest_mib


@contextmanager
def page_of(site: Site, place: Path, count: int) -> Iterator[Page]:
    """Start the product with a testbed of so many guests."""
    place.mkdir()
    slug, files = f"exec{count}", place / "testbed"
    write_testbed(files, 1, 1)
    with simulated_stack(place, hosts=1, **PACE) as stack:
        stack.add_user(OWNER)
        stack.client(OWNER).create_testbed(slug, files)
        folder = project(stack, slug)
        deploy(folder, slug, site, count=count, host=MAIN)
        stack.shell(AS_IF_UP.format(slug=slug))
        yield Page(stack, slug, count)


def _send_next(socket: object, waiting: list[Frame]) -> None:
    if waiting:
        entry = waiting.pop(0)
        frame = {"type": "instruction", "index": entry["index"], "kind": entry["kind"]}
        send(socket, frame)  # type: ignore[arg-type]


def _ends(frame: Frame) -> int:
    """Return the number of guests that a frame ends."""
    events = frame.get("events", [frame])
    return sum(event.get("kind") == "task-finished" for event in events)
