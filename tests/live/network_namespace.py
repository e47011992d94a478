"""A machine that is only a network namespace: addresses, packets, and listeners.

Used by test_firewall.py, which makes a testbed host, its guest and a lab of them.
"""

import subprocess
import sys
from dataclasses import replace

from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from tests.waiting import wait_until

# Prints its port when it listens; counts datagrams until one says "end".
COUNT = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
count = 0
while server.recv(100) != b"end":
    count += 1
print(count, flush=True)
"""
SERVE = """
import socket, sys
servers = [socket.create_server(("::", int(port)), family=socket.AF_INET6,
           dualstack_ipv6=True) for port in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.read()
"""
TRY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
except OSError:
    print("closed")
else:
    print("open")
"""
SEND = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[3])):
    sender.sendto(sys.argv[4].encode(), (sys.argv[1], int(sys.argv[2])))
"""


class Namespace(LocalTransport):
    """A LocalTransport that enters a network namespace of its own."""

    def __init__(self, machine: str) -> None:
        super().__init__(machine)
        self._holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self._programs: list[subprocess.Popen[str]] = []
        mine = self._network("self")
        wait_until(lambda: self._network(self._holder.pid) != mine)
        self.say("ip link set lo up")

    @staticmethod
    def _network(pid: int | str) -> str:
        words = ("readlink", f"/proc/{pid}/ns/net")
        return subprocess.run(words, capture_output=True, text=True).stdout

    @property
    def pid(self) -> str:
        """The process that keeps the namespace."""
        return str(self._holder.pid)

    def run(self, cmd: Command, **options) -> Completed:
        """Run a command in the namespace."""
        return super().run(replace(cmd, argv=self._inside(*cmd.argv)), **options)

    def _inside(self, *words: str) -> tuple[str, ...]:
        return ("nsenter", "-t", self.pid, "-n", *words)

    def say(self, words: str) -> str:
        """Run a line of words, and return its output."""
        return self.run(command(*words.split()), scope=Scope()).stdout

    def set_up(self, lines: str) -> None:
        """Run many lines of words."""
        for line in filter(None, map(str.strip, lines.splitlines())):
            self.say(line)

    def python(self, code: str, *words: object) -> str:
        """Run Python code, and return its output."""
        argv = (sys.executable, "-c", code, *map(str, words))
        return self.run(command(*argv), scope=Scope()).stdout

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a program, and return when it has printed its first line."""
        program = subprocess.Popen(
            self._inside(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._programs.append(program)
        assert program.stdout is not None
        assert program.stdout.readline(), words
        return program

    def serve(self, *ports: int) -> None:
        """Accept TCP connections at all addresses."""
        self.start(sys.executable, "-c", SERVE, *map(str, ports))

    def count(self, port: int) -> "subprocess.Popen[str]":
        """Start to count the datagrams that arrive at a port."""
        return self.start(sys.executable, "-c", COUNT, str(port))

    def tries(self, address: str, port: int, *, patience_s: float = 1) -> str:
        """Return whether a TCP connection is made: `open` or `closed`."""
        return self.python(TRY, address, port, patience_s).strip()

    def send(self, address: str, port: int, count: int = 5, text: str = "x") -> None:
        """Send datagrams."""
        self.python(SEND, address, port, count, text)

    def close(self) -> None:
        """End everything in it."""
        for process in (*self._programs, self._holder):
            with process:
                process.kill()


def cable(one: Namespace, end: str, other: Namespace, other_end: str) -> None:
    """Lay a cable between two namespaces; both ends are up."""
    one.say(f"ip link add {end} type veth peer name {other_end} netns {other.pid}")
    for machine, device in ((one, end), (other, other_end)):
        machine.say(f"ip link set {device} up")
