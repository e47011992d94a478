"""asyncssh as a contestant; see `driver`.

Its words: key, known hosts, jump host, and "plain" or "our-line". With the latter it
sends the line that the product sends, so that what the targets do is the same.
"""

import asyncio
import shlex
import sys
import time

import asyncssh

from benchmarks.execution.driver import Case, require_lines, serve
from orchestration.transport.base import Command
from orchestration.transport.processes.login_shell import MARK, for_any_shell
from orchestration.transport.processes.tags import wrap_line

USER = "root"


class Asyncssh:
    """All targets at once in one event loop."""

    def __init__(self, key: str, known_hosts: str, jump: str, line: str) -> None:
        self._line = our_line if line == "our-line" else shlex.join
        self._loop = asyncio.new_event_loop()
        self._jump = jump
        self._kept: dict[str, asyncssh.SSHClientConnection] = {}
        self._options = {
            "username": USER,
            "client_keys": [key],
            "known_hosts": known_hosts,
            "config": None,
            "agent_path": None,
            "gss_host": None,
        }

    def cold(self, case: Case) -> float:
        """Log in everywhere and run the command."""
        self.close()
        return self._timed(case)

    def warm(self, case: Case) -> float:
        """Run the command on the kept connections."""
        return self._timed(case)

    def close(self) -> None:
        """Close all connections, those of the targets first."""
        self._loop.run_until_complete(self._closed())

    def _timed(self, case: Case) -> float:
        started = time.perf_counter()
        found = self._loop.run_until_complete(self._all(case))
        seconds = time.perf_counter() - started
        if any(one.exit_status for one in found):
            raise ValueError("a command failed")
        printed = (str(one.stdout).removeprefix(MARK.decode()) for one in found)
        require_lines([text.splitlines() for text in printed], case)
        return seconds

    async def _all(self, case: Case) -> list[asyncssh.SSHCompletedProcess]:
        if case["has_jump"] and self._jump not in self._kept:
            self._kept[self._jump] = await asyncssh.connect(self._jump, **self._options)
        line = self._line(case["words"])
        runs = (self._one(target, line) for target in case["addresses"])
        return await asyncio.gather(*runs)

    async def _one(self, target: str, line: str) -> asyncssh.SSHCompletedProcess:
        if target not in self._kept:
            jump = self._kept.get(self._jump)
            self._kept[target] = await asyncssh.connect(
                target, tunnel=jump or (), **self._options
            )
        return await self._kept[target].run(line)

    async def _closed(self) -> None:
        for name in sorted(self._kept, key=lambda name: name == self._jump):
            self._kept[name].close()
            await self._kept[name].wait_closed()
        self._kept.clear()


def our_line(words: list[str]) -> str:
    """Return the line that the product sends for a command."""
    return for_any_shell(wrap_line(Command(tuple(words)), "bench.1.1", sudo=False))


if __name__ == "__main__":
    serve(Asyncssh(*sys.argv[1:]))
