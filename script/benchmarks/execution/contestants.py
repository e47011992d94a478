"""The contestants of `exec`, each started as a user of it would.

The libraries are processes that keep their connections (`driver`); their clock runs
from the call to the last answer. The programs are timed with their own start, which is
what a user waits for.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, cast

from benchmarks.execution.site import JUMP, USER, Case, Site, addresses
from benchmarks.peers.site import CannotRun

TIMEOUT_S = 900
OURS = "ours"
ASYNCSSH = "asyncssh"
OUR_LINE = "asyncssh, our line"
ANSIBLE = "ansible, raw"


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the peers' own environment is; `peers` has no programs without it."""

    venv: Path

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.venv / "bin/python"

    def find(self, program: str) -> str:
        """Return a program of the environment or of this machine. Raises: CannotRun."""
        own = (self.venv / "bin" / program, Path(sys.executable).with_name(program))
        for path in own:
            if path.exists():
                return str(path)
        if found := shutil.which(program):
            return found
        raise CannotRun(f"this machine has no {program}; --peers installs it")


class Contestant:
    """One way to run a command on many targets. Its turns raise CannotRun."""

    title: ClassVar[str]
    keeps: ClassVar[bool] = True

    def __init__(self, site: Site, tools: Tools) -> None:
        self.site = site
        self.tools = tools

    def find(self) -> None:
        """Look for it. Raises: CannotRun."""

    def cold(self, case: Case) -> float:
        """Log in everywhere and run the command; return the seconds."""
        raise NotImplementedError

    def warm(self, case: Case) -> float:
        """Run it on kept connections; only where it `keeps` them."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what it kept."""

    def stop(self) -> None:
        """End it."""


class Library(Contestant):
    """A library in a process of its own."""

    module: ClassVar[str]
    _process: "subprocess.Popen[str] | None" = None

    def words(self) -> list[str]:
        """Return the words behind the module's name."""
        return [str(self.site.key), str(self.site.known_hosts), JUMP]

    def python(self) -> Path:
        """Return the interpreter."""
        return Path(sys.executable)

    def cold(self, case: Case) -> float:
        """Take a turn."""
        return self._turn("cold", case)

    def warm(self, case: Case) -> float:
        """Take a turn."""
        return self._turn("warm", case)

    def close(self) -> None:
        """Let it close its connections."""
        if self._process is not None:
            self._turn("close", None)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _turn(self, turn: str, case: Case | None) -> float:
        process = self._process = self._process or self._start()
        asked: dict[str, object] = {"turn": turn}
        if case is not None:
            asked |= case._asdict() | {"addresses": addresses(case.targets)}
        reader, writer = cast("IO[str]", process.stdout), cast("IO[str]", process.stdin)
        writer.write(json.dumps(asked) + "\n")
        writer.flush()
        answer = json.loads(reader.readline() or '{"problem": "it ended"}')
        if problem := answer.get("problem"):
            self.stop()
            raise CannotRun(problem)
        return float(answer["seconds"])

    def _start(self) -> "subprocess.Popen[str]":
        module = f"benchmarks.execution.{self.module}"
        return subprocess.Popen(
            [str(self.python()), "-m", module, *self.words()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


class Ours(Library):
    """The product's engine."""

    title, module = OURS, "ours"

    def words(self) -> list[str]:
        """Return the folder with the testbeds."""
        return [str(self.site.folder)]


class Asyncssh(Library):
    """The library asyncssh."""

    title, module = ASYNCSSH, "with_asyncssh"
    line: ClassVar[str] = "plain"

    def words(self) -> list[str]:
        """Return also which line it sends."""
        return [*super().words(), self.line]


class AsyncsshOurLine(Asyncssh):
    """It with the line of ours, which any login shell takes and cancel finds."""

    title, line = OUR_LINE, "our-line"


class ParallelSSH(Library):
    """The library parallel-ssh, of the peers' environment."""

    title, module = "parallel-ssh", "with_parallel_ssh"

    def find(self) -> None:
        """Look for its package. Raises: CannotRun."""
        if not list(self.tools.venv.glob("lib/*/site-packages/pssh")):
            raise CannotRun("its package is not installed; --peers installs it")

    def python(self) -> Path:
        """Return the peers' interpreter."""
        return self.tools.python


class Program(Contestant):
    """A program that is started for each turn."""

    def words(self, case: Case, *, kept: bool) -> list[str]:
        """Return the command line. Raises: CannotRun."""
        raise NotImplementedError

    def environment(self, case: Case, *, kept: bool) -> dict[str, str]:
        """Return variables for it."""
        return {}

    def lines_of(self, printed: str) -> int:
        """Return the number of the targets' lines in what it printed."""
        return len(printed.splitlines())

    def cold(self, case: Case) -> float:
        """Start it where no connection is kept."""
        return self._timed(case, kept=False)

    def warm(self, case: Case) -> float:
        """Start it twice with kept connections, and time the second."""
        self._timed(case, kept=True)
        return self._timed(case, kept=True)

    def close(self) -> None:
        """End the kept connections."""
        self.site.end_masters()

    def _timed(self, case: Case, *, kept: bool) -> float:
        words = self.words(case, kept=kept)
        home = {"HOME": str(self.site.folder), "NO_COLOR": "1"}
        environment = os.environ | home | self.environment(case, kept=kept)
        targets = "\n".join(addresses(case.targets))
        started = time.perf_counter()
        ended = subprocess.run(
            words,
            input=targets,
            env=environment,
            cwd=self.site.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        seconds = time.perf_counter() - started
        if ended.returncode:
            raise CannotRun((ended.stderr or ended.stdout).strip()[-400:])
        if self.lines_of(ended.stdout) < case.targets * case.lines:
            raise CannotRun("it did not print all lines")
        return seconds

    def config(self, case: Case, *, kept: bool) -> str:
        """Return the file for `ssh -F`."""
        return str(self.site.config(kept=kept, jump=case.has_jump))


class OpenSSH(Program):
    """`xargs -P ssh`, warm with ControlMaster."""

    title = "OpenSSH, ControlMaster when warm"

    def words(self, case: Case, *, kept: bool) -> list[str]:
        """Return xargs with one ssh for each target."""
        ssh = ["ssh", "-n", "-F", self.config(case, kept=kept), "{}"]
        return ["xargs", "-P", str(case.targets), "-I{}", *ssh, *case.words]


class Clush(Program):
    """ClusterShell's clush, which starts ssh."""

    title = "clush, ControlMaster when warm"

    def find(self) -> None:
        """Look for it. Raises: CannotRun."""
        self.tools.find("clush")

    def words(self, case: Case, *, kept: bool) -> list[str]:
        """Return clush with all targets at once."""
        words = [self.tools.find("clush"), "-S", "-N", "--nostdin"]
        words += ["-f", str(case.targets), "-o", f"-F {self.config(case, kept=kept)}"]
        return [*words, "-w", ",".join(addresses(case.targets)), *case.words]


class Ansible(Program):
    """`ansible -m raw`, whose connections stay by its own ControlPersist."""

    title = ANSIBLE

    def find(self) -> None:
        """Look for it. Raises: CannotRun."""
        self.tools.find("ansible")

    def words(self, case: Case, *, kept: bool) -> list[str]:
        """Return ansible with all targets at once."""
        inventory = self.site.folder / "inventory"
        inventory.write_text("\n".join(addresses(case.targets)) + "\n")
        words = [self.tools.find("ansible"), "all", "-i", str(inventory)]
        words += ["-f", str(case.targets), "-m", "raw"]
        return [*words, "-a", shlex.join(case.words)]

    def environment(self, case: Case, *, kept: bool) -> dict[str, str]:
        """Let it use the benchmark's configuration of ssh."""
        return {
            "ANSIBLE_SSH_ARGS": f"-F {self.config(case, kept=kept)}",
            "ANSIBLE_SSH_CONTROL_PATH": f"{self.site.masters}/%C" if kept else "none",
            "ANSIBLE_REMOTE_USER": USER,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(self.site.folder / "ansible"),
        }


class Pyinfra(Program):
    """`pyinfra exec`, which keeps no connections between its starts."""

    title = "pyinfra, exec"
    keeps = False

    def find(self) -> None:
        """Look for it. Raises: CannotRun."""
        self.tools.find("pyinfra")

    def words(self, case: Case, *, kept: bool) -> list[str]:
        """Return pyinfra with all targets at once."""
        # A list of addresses in one word would be too long for a file's name.
        inventory = self.site.folder / "inventory.py"
        inventory.write_text(f"targets = {addresses(case.targets)!r}\n")
        words = [self.tools.find("pyinfra"), "-y", "--parallel", str(case.targets)]
        words += ["--ssh-user", USER, "--ssh-key", str(self.site.key)]
        words += ["--data", f"ssh_config_file={self.config(case, kept=False)}"]
        words += ["--data", f"ssh_known_hosts_file={self.site.known_hosts}"]
        return [*words, str(inventory), "exec", "--", *case.words]

    def lines_of(self, printed: str) -> int:
        """Count on its exit code: what it prints is for people."""
        return sys.maxsize


def install(venv: Path, requirements: Path) -> None:
    """Install the peers into an environment of their own. Raises: CannotRun."""
    uv = str(Path(sys.executable).with_name("uv"))
    into = [uv, "pip", "install", "--quiet", "--python", str(venv / "bin/python")]
    for words in (
        [sys.executable, "-m", "venv", str(venv)],
        [*into, "-r", str(requirements)],
    ):
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(done.stderr.strip()[-400:])


def all_of(site: Site, tools: Tools, against: Sequence[str]) -> Sequence[Contestant]:
    """Return ours and then the others, of `against` those whose titles begin so."""
    kinds = (Asyncssh, AsyncsshOurLine, ParallelSSH, OpenSSH, Clush, Ansible, Pyinfra)
    wanted = tuple(against) or ("",)
    others = [kind for kind in kinds if kind.title.startswith(wanted)]
    return [kind(site, tools) for kind in (Ours, *others)]
