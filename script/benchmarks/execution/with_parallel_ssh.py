"""parallel-ssh as a contestant; see `driver`. Its words: key, known hosts, jump host.

Runs in the environment of the peers, without the product. It checks no host keys.
"""

import shlex
import sys
import time

from pssh.clients import ParallelSSHClient

from benchmarks.execution.driver import Case, require_lines, serve

USER = "root"


class ParallelSSH:
    """One greenlet for each target."""

    def __init__(self, key: str, known_hosts: str, jump: str) -> None:
        self._key, self._jump = key, jump
        self._client: ParallelSSHClient | None = None

    def cold(self, case: Case) -> float:
        """Log in everywhere and run the command."""
        proxy = {"proxy_host": self._jump, "proxy_user": USER, "proxy_pkey": self._key}
        started = time.perf_counter()
        self._client = client = ParallelSSHClient(
            case["addresses"],
            user=USER,
            pkey=self._key,
            pool_size=len(case["addresses"]),
            allow_agent=False,
            identity_auth=False,
            **(proxy if case["has_jump"] else {}),
        )
        return self._run(client, case, started)

    def warm(self, case: Case) -> float:
        """Run the command on the kept connections."""
        if self._client is None:
            raise ValueError("no connections are kept")
        return self._run(self._client, case, time.perf_counter())

    def close(self) -> None:
        """Let the connections go."""
        self._client = None

    def _run(self, client: ParallelSSHClient, case: Case, started: float) -> float:
        found = client.run_command(shlex.join(case["words"]))
        outputs = [list(one.stdout) for one in found]
        client.join(found)
        seconds = time.perf_counter() - started
        if any(one.exit_code for one in found):
            raise ValueError("a command failed")
        require_lines(outputs, case)
        return seconds


if __name__ == "__main__":
    serve(ParallelSSH(*sys.argv[1:]))
