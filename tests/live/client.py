"""A user of the product: by an API token with the product's own client, and on pages.

A testbed's name alone is that of an own one. Each act that erases something is agreed
to, and its list is kept in `erased`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from websockets.sync.client import ClientConnection

from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.rest.server import Server, StartedRun
from testbed.client.sync.decide import decide
from testbed.client.sync.local import read_local
from testbed.client.sync.sending import apply
from testbed.client.watching import Frame, OnFrame, watch
from tests.live.pages import Pages

YAML_NAME = "kvm-compose.yaml"
COLUMNS, ROWS = 80, 24


class Client:
    """One account at one server."""

    def __init__(self, url: str, name: str, password: str, token: str) -> None:
        self.name = name
        self.erased: list[Frame] = []
        self.server = Server(url, token, agrees=self._agree)
        self._sign_in = url, name, password

    def close(self) -> None:
        """Close the kept connections."""
        self.server.close()
        if "pages" in self.__dict__:
            self.pages.close()

    @cached_property
    def pages(self) -> Pages:
        """The pages, for which the user signs in once."""
        return Pages(*self._sign_in)

    def path(self, testbed: str, below: str = "") -> str:
        """Return the API's path of a testbed, and of what is below it."""
        return path_of(self._full(testbed), below)

    def get(self, testbed: str, below: str = "") -> Frame:
        """Return what the API has of a testbed. Raises: ServerProblem."""
        return self.server.get(self.path(testbed, below))

    def has_testbed(self, testbed: str) -> bool:
        """Return whether the user sees this testbed."""
        try:
            self.get(testbed)
        except NotThere:
            return False
        return True

    def create_testbed(self, testbed: str, folder: Path) -> None:
        """Make a testbed of a folder's files, as `testbed up` does."""
        text = (folder / YAML_NAME).read_bytes().decode("utf-8", "replace")
        wish = {"name": testbed, "yaml": text}
        self.server.send("POST", "/testbeds", wish, is_keyed=True)
        self.update_files(testbed, folder)

    def update_files(self, testbed: str, folder: Path) -> None:
        """Add a folder's files to a testbed, or replace them."""
        files = self.get(testbed, "inputs")["files"]
        remote = {one["path"]: one["etag"] for one in files}
        local = read_local(folder).digests
        decision = decide(local, remote, {}, forced=local)
        late = apply(
            self.server, self._full(testbed), folder, decision, {}, lambda *said: None
        )
        assert not late, late

    def ask(self, testbed: str, below: str, **wish: object) -> StartedRun:
        """Start a run at one of the testbed's addresses. Raises: ServerProblem."""
        return self.server.start(self.path(testbed, below), wish)

    def start(self, testbed: str, command: str, **options: bool) -> StartedRun:
        """Start a command of the whole testbed. Raises: ServerProblem."""
        return self.ask(testbed, "runs", command=command, **options)

    def drive(self, run: StartedRun, on_frame: OnFrame) -> str:
        """Send a run's instructions one by one; return how it ended."""
        return self._watch(run.number, on_frame, run.to_send)

    def follow(self, number: int, on_frame: OnFrame, *, after: int = 0) -> str:
        """Receive the events of a run after one; return how it ended."""
        return self._watch(number, on_frame, [], after=after)

    def run(self, testbed: str, command: str, on_frame: OnFrame) -> str:
        """Drive a command to its end; return how it ended."""
        return self.drive(self.start(testbed, command), on_frame)

    def answers(self, number: int) -> Frame:
        """Return the folded answers of a run. Raises: ServerProblem."""
        return self.server.get(f"/runs/{number}/answers")

    def socket(self, number: int) -> AbstractContextManager[ClientConnection]:
        """Open the websocket of a run."""
        return self.server.events(number)

    @contextmanager
    def console(
        self, testbed: str, guest: str, mode: str, *, typing: bool = True
    ) -> Iterator[ClientConnection]:
        """Open a guest's console, `serial` or `shell`. Raises: ServerProblem."""
        path = self.path(testbed, f"guests/{quote(guest)}/console")
        size = COLUMNS, ROWS
        with self.server.console(path, mode, typing=typing, size=size) as socket:
            yield socket

    def _full(self, testbed: str) -> str:
        return testbed if "/" in testbed else f"{self.name}/{testbed}"

    def _watch(
        self, number: int, on_frame: OnFrame, waiting: list[Frame], *, after: int = 0
    ) -> str:
        def opened() -> AbstractContextManager[ClientConnection]:
            return self.socket(number)

        return watch(opened, number, on_frame, waiting, after=after)

    def _agree(self, erases: Frame) -> bool:
        self.erased.append(erases)
        return True
