"""Up does with an edited file as the page said, for guests in any state."""

from collections.abc import Callable

import pytest

from orchestration.hosts import Hosts
from orchestration.plan.model import Command, Kind, Options
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.ownership import domain_of
from testbed.models import Testbed
from testbed.pages.changes import pending_changes
from tests.testbed.deployment import obey
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import edit

IMAGE = "{name: ubuntu_22_04}"
SCRIPTED = (
    "{name: ubuntu_22_04, setup_script: setup.sh, run_script: run.sh, context: data}"
)
ANNOUNCED = {
    "setup.sh": "setup script setup.sh was edited, will run again",
    "run.sh": "run script run.sh was edited, will run again",
    "data/list": "context data was edited, will be copied to it",
}
SET_UP = {
    "setup.sh": "setup.sh finished (exit 0)",
    "run.sh": "its setup script ran before",
    "data/list": "copied context data",
}
RAN, RAN_BEFORE = "run.sh finished (exit 0)", "it ran since the guest was started"
Messages = dict[tuple[Kind, str], str]


def command(testbed: Testbed, hosts: Hosts, what: Command) -> Messages:
    """Obey a command, and leave the condition that its run leaves."""
    prepare(testbed, what, Options())
    messages = obey(testbed, hosts, what)
    conditions = Testbed.Condition
    testbed.condition = conditions.UP if what == Command.UP else conditions.DOWN
    testbed.save()
    return messages


def leave(testbed: Testbed, hosts: Hosts) -> None:
    """Let the guest run on."""


def shut_off(testbed: Testbed, hosts: Hosts) -> None:
    state = testbed.project.read_state()
    web = state.guest("web")
    conn = hosts.open(state.host(web.host)).libvirt
    assert domains.destroy(conn, domain_of(state.testbed, web))


def take_down(testbed: Testbed, hosts: Hosts) -> None:
    command(testbed, hosts, Command.DOWN)


def announced(testbed: Testbed) -> list[str]:
    pending = pending_changes(testbed, testbed.project.read_state())
    groups = pending.groups if pending else ()
    return [line.reasons for group in groups for line in group.lines]


@pytest.mark.parametrize("change", [leave, shut_off, take_down])
@pytest.mark.parametrize("file", ANNOUNCED)
def test_page_announces_what_up_then_does_and_nothing_after(
    testbed: Testbed,
    kept: Hosts,
    change: Callable[[Testbed, Hosts], None],
    file: str,
) -> None:
    files = testbed.project.files
    (files / "data").mkdir()
    for name in ANNOUNCED:
        (files / name).write_text("one\n")
    edit(testbed, IMAGE, SCRIPTED, count=1)
    command(testbed, kept, Command.UP)
    assert announced(testbed) == []
    change(testbed, kept)
    (files / file).write_text("two\n")

    said = announced(testbed)
    did = command(testbed, kept, Command.UP)

    assert said == [ANNOUNCED[file]]
    assert did[Kind.SET_UP_GUESTS, "web"] == SET_UP[file]
    is_started = change is not leave
    runs = RAN if is_started or file == "run.sh" else RAN_BEFORE
    assert did[Kind.RUN_SCRIPTS, "web"] == runs
    assert announced(testbed) == []
    again = command(testbed, kept, Command.UP)
    assert again[Kind.SET_UP_GUESTS, "web"] == "its setup script ran before"
    assert again[Kind.RUN_SCRIPTS, "web"] == RAN_BEFORE
