"""Brings a folder's files to its testbed before a run, and makes the testbed if needed.

Used by the commands and by the text interface, which plan the run here, too.
"""

import json
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from orchestration.amounts import count_of, size
from orchestration.errors import TestbedError
from orchestration.plan.model import Command, Options
from orchestration.plan.situation import Situation
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.rest.server import Server
from testbed.client.sync.decide import Conflict, Decision, decide
from testbed.client.sync.digests import Digests
from testbed.client.sync.local import content, read_local
from testbed.client.sync.sending import apply
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.options import YAML_NAME
from testbed.client.terminal.project import Link, read_link, require_same, write_link
from testbed.client.terminal.session import Session
from testbed.client.terminal.tables import say, say_in_place
from testbed.client.watching import Frame

# The server takes at most 2 MiB of JSON.
MOST_PLAN_BYTES = 1_500_000
# Between two lines about a large file, where no line is written anew.
SAY_EVERY_S = 10.0


@dataclass(slots=True)
class Arrivals:
    """Tells how much of a large file has arrived: in one line of a terminal.

    Otherwise, as in a log, a line each few seconds. `show` gets each line instead.
    """

    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    show: Callable[[str], None] | None = None
    _line: str = ""
    _is_kept: bool = False
    _said_at: float = 0.0

    def __call__(self, path: str, arrived: int, whole: int) -> None:
        """Tell that bytes of a file have arrived."""
        is_whole = arrived == whole
        self._is_kept = arrived > 0
        self._line = "" if is_whole else f"{path}: {size(arrived)} of {size(whole)}"
        words = f"{path}: {size(whole)} arrived" if is_whole else self._line
        words = f"{words}, {100 * arrived // whole} %"
        if self.show:
            self.show(words)
        elif self.say is say and sys.stderr.isatty():
            say_in_place(words, is_last=is_whole)
        elif not is_whole and self.clock() >= self._said_at + SAY_EVERY_S:
            self._said_at = self.clock()
            self.say(f"{self._line} arrived.")

    def end(self) -> None:
        """Tell what is kept of a file that did not arrive whole."""
        if not self._line:
            return
        if self.say is say and sys.stderr.isatty():
            say_in_place(self._line, is_last=True)
        if self._is_kept:
            self.say(
                f"{self._line} arrived, and are kept for a day: the next sync goes on there."
            )


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with a YAML, and the server to which its files are brought.

    `account` returns the user's; `say` gets a line about each thing that is done, and
    `show` how much of a large file has arrived, again and again.
    """

    server: Server
    path: Path
    account: Callable[[], str]
    say: Callable[[str], None] = say
    show: Callable[[str], None] | None = None
    is_verbose: bool = False

    @classmethod
    def of(cls, session: Session) -> "Folder":
        """Return the folder that a command is in. Raises: WrongUse (it has no YAML)."""
        return cls(
            session.server,
            session.settings.yaml.parent,
            lambda: session.account,
            is_verbose=bool(session.settings.verbosity),
        )

    def on_file(self, verb: str, path: str) -> None:
        """Say what happened to a file, where more is wanted to be said."""
        if self.is_verbose:
            self.say(f"{verb} {path}")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The server's answer: digests of its files, and the situation of a plan."""

    files: dict[str, str]
    raw: Frame

    @property
    def situation(self) -> Situation:
        """The situation. Raises: TestbedError when it cannot be read here."""
        try:
            return Situation.model_validate(self.raw)
        except ValidationError as exc:
            raise TestbedError(
                "This command line cannot read the state of the testbed.",
                hint="Install the server's version of testbed, or add --plan-on-server.",
                detail=str(exc)[:2000],
            ) from exc

    def planned(self, folder: Path, command: Command, options: Options) -> Frame | None:
        """Return the folder's plan; None of one that is too large to be compared."""
        text = self.situation.planned(command, options, folder).to_json()
        if len(text) > MOST_PLAN_BYTES:
            return None
        plan: Frame = json.loads(text)
        return plan


def fetch_inputs(server: Server, testbed: str) -> Inputs:
    """Read the inputs of a testbed's plan. Raises: ServerProblem."""
    body = server.get(path_of(testbed, "inputs"))
    return Inputs(
        {one["path"]: one["etag"] for one in body["files"]}, body["situation"]
    )


def compared(folder: Path, inputs: Inputs) -> Decision:
    """Compare a folder with the server's files, and change nothing."""
    local = read_local(folder, Digests.of_user())
    return decide(local.digests, inputs.files, read_link(folder).files)


def synchronised(folder: Folder, testbed: str) -> Inputs:
    """Send what changed here; return the inputs of then. Raises: Refusal (conflicts).

    A testbed that is not there yet is made of the folder's YAML.
    """
    link = read_link(folder.path)
    require_same(link, folder.server.url, testbed)
    inputs = _inputs_of_new(folder, testbed, link)
    return sent(folder, testbed, inputs, link)


def sent(
    folder: Folder,
    testbed: str,
    inputs: Inputs,
    link: Link,
    *,
    forced: Collection[str] = (),
) -> Inputs:
    """Send what the folder has otherwise. Raises: Refusal (conflicts), ServerProblem."""
    server, local = folder.server, read_local(folder.path, Digests.of_user())
    for path in local.left_out:
        folder.say(f"{path} is a link or no file: it is not sent.")
    decision = decide(local.digests, inputs.files, link.files, forced=forced)
    _require_none(decision.conflicts)
    link.server, link.testbed = server.url, testbed
    arrivals = Arrivals(folder.say, show=folder.show)
    try:
        late = apply(
            server,
            testbed,
            folder.path,
            decision,
            link.files,
            folder.on_file,
            arrivals,
        )
    finally:
        arrivals.end()
        write_link(folder.path, link)
    _require_none(late)
    count = len(decision.send) + len(decision.remove)
    if not count:
        return inputs
    folder.say(f"{count_of(count, 'file')} brought to {testbed}.")
    return fetch_inputs(server, testbed)


def _inputs_of_new(folder: Folder, testbed: str, link: Link) -> Inputs:
    server = folder.server
    try:
        return fetch_inputs(server, testbed)
    except NotThere:
        account, _, name = testbed.rpartition("/")
        if account != folder.account():
            raise
    # Bytes that are no text are sent as the file afterwards, and are a finding there.
    text = content(folder.path, YAML_NAME).decode("utf-8", "replace")
    yaml = text.replace("\0", "\ufffd")
    wish = {"name": name, "yaml": yaml}
    server.send("POST", "/testbeds", wish, is_keyed=True)
    folder.say(f"{testbed} was made.")
    link.files.clear()
    inputs = fetch_inputs(server, testbed)
    link.files.update(inputs.files)
    return inputs


def _require_none(conflicts: tuple[Conflict, ...]) -> None:
    """Refuse to overwrite what others edited. Raises: Refusal, with each file."""
    if conflicts:
        lines = [f"  {one.path}: {one.reason}" for one in conflicts]
        raise Refusal(
            f"{count_of(len(conflicts), 'file')} cannot be brought to the server "
            "without a decision.",
            hint="Nothing was overwritten. Of each, take the server's copy with "
            "`testbed sync --take PATH`, or send yours with `testbed sync --send PATH`.",
            detail="\n".join(lines),
        )
