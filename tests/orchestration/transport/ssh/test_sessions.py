"""Many commands on one connection whose server allows ten sessions at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.errors import Cancelled
from orchestration.transport.base import Scope, command
from tests.orchestration.transport.conftest import Server, carriers
from tests.waiting import wait_until

MAX_SESSIONS = 10
COMMANDS = 50
# Each command counts how many run while it does.
COUNT = 'mkdir "$1/$$"; ls "$1" | wc -l; sleep 0.1; rmdir "$1/$$"'


@pytest.fixture(name="strict")
def _strict(make_server: Callable[..., Server]) -> Server:
    """A server with the usual limit, said aloud."""
    return make_server("a", f"MaxSessions {MAX_SESSIONS}", "LogLevel VERBOSE")


def test_fifty_commands_at_once_wait_for_a_session(
    strict: Server, scope: Scope, tmp_path: Path
) -> None:
    machine, running = strict.transport(), tmp_path / "running"
    running.mkdir()
    count = command("sh", "-c", COUNT, "count", str(running))

    with ThreadPoolExecutor(COMMANDS) as pool:
        ended = list(
            pool.map(lambda _: machine.run(count, scope=scope), range(COMMANDS))
        )

    seen = [int(done.stdout) for done in ended]
    assert len(seen) == COMMANDS
    assert 1 < max(seen) <= MAX_SESSIONS
    assert len(strict.connections()) == 1, "one login carried them all"


def test_commands_that_fill_all_sessions_can_still_be_ended(
    strict: Server, scope: Scope
) -> None:
    machine = strict.transport()

    def work(_: int) -> bool:
        try:
            machine.run(command("sleep", "600"), scope=scope)
        except Cancelled:
            return True
        return False

    with ThreadPoolExecutor(COMMANDS) as pool:
        outcomes = [pool.submit(work, number) for number in range(COMMANDS)]
        wait_until(lambda: len(carriers(scope.tag)) >= 8)
        scope.cancel()
        cancelled = [outcome.result(timeout=120) for outcome in outcomes]

    assert all(cancelled)
    assert all(not proof.survivors for proof in scope.ended)
