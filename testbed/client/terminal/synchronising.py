"""Brings a folder's files to its testbed before a run, and makes the testbed if needed."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from orchestration.plan.situation import Situation
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.sync.decide import Conflict, Decision, decide
from testbed.client.sync.local import read_local
from testbed.client.sync.sending import OnFile, apply
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.options import YAML_NAME
from testbed.client.terminal.project import Link, read_link, require_same, write_link
from testbed.client.terminal.session import Session
from testbed.client.terminal.tables import say
from testbed.client.watching import Frame


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


def fetch_inputs(session: Session, testbed: str) -> Inputs:
    """Read the inputs of a testbed's plan. Raises: ServerProblem."""
    body = session.server.get(path_of(testbed, "inputs"))
    return Inputs(
        {one["path"]: one["etag"] for one in body["files"]}, body["situation"]
    )


def compared(session: Session, inputs: Inputs) -> Decision:
    """Compare the folder with the server's files, and change nothing."""
    folder = session.settings.yaml.parent
    return decide(read_local(folder).digests, inputs.files, read_link(folder).files)


def synchronised(session: Session, testbed: str) -> Inputs:
    """Send what changed here; return the inputs of then. Raises: Refusal (conflicts).

    A testbed that is not there yet is made of the folder's YAML.
    """
    folder = session.settings.yaml.parent
    link = read_link(folder)
    require_same(link, session.server.url, testbed)
    inputs = _inputs_of_new(session, testbed, folder, link)
    return sent(session, testbed, inputs, link)


def sent(
    session: Session,
    testbed: str,
    inputs: Inputs,
    link: Link,
    *,
    forced: Collection[str] = (),
) -> Inputs:
    """Send what the folder has otherwise. Raises: Refusal (conflicts), ServerProblem."""
    folder = session.settings.yaml.parent
    local = read_local(folder)
    for path in local.left_out:
        say(f"{path} is a link or no file: it is not sent.")
    decision = decide(local.digests, inputs.files, link.files, forced=forced)
    _require_none(decision.conflicts)
    link.server, link.testbed = session.server.url, testbed
    try:
        late = apply(
            session.server, testbed, folder, decision, link.files, _said(session)
        )
    finally:
        write_link(folder, link)
    _require_none(late)
    count = len(decision.send) + len(decision.remove)
    if not count:
        return inputs
    say(f"{count_of(count, 'file')} brought to {testbed}.")
    return fetch_inputs(session, testbed)


def _inputs_of_new(session: Session, testbed: str, folder: Path, link: Link) -> Inputs:
    try:
        return fetch_inputs(session, testbed)
    except NotThere:
        account, _, name = testbed.rpartition("/")
        if account != session.account:
            raise
    # Bytes that are no text are sent as the file afterwards, and are a finding there.
    yaml = (folder / YAML_NAME).read_bytes().decode("utf-8", "replace")
    wish = {"name": name, "yaml": yaml}
    session.server.send("POST", "/testbeds", wish, is_keyed=True)
    say(f"{testbed} was made.")
    link.files.clear()
    inputs = fetch_inputs(session, testbed)
    link.files.update(inputs.files)
    return inputs


def _said(session: Session) -> OnFile:
    def on_file(verb: str, path: str) -> None:
        if session.settings.verbosity:
            say(f"{verb} {path}")

    return on_file


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
