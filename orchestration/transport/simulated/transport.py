"""A simulated machine: commands are recorded and answered, never run.

Implements Transport for hosts of kind `simulated` and their guests. The results of
commands are kept in `<machine>.json` below a folder, shared by all worker processes, so
that a second `up` finds them; `<machine>.log` lists the commands. A person or a test
may write `<machine>.faults.json`, which maps a command's beginning to a fault.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orchestration.errors import Cancelled, CommandFailed, HostUnreachable
from orchestration.events import Stream
from orchestration.transport.base import (
    UMASK_SCRIPT,
    Command,
    Completed,
    Ended,
    OnBytes,
    OnLine,
    OnProgress,
    Process,
    Scope,
)
from orchestration.transport.output import conclude, timed_out
from orchestration.transport.processes.tags import tag_of
from orchestration.transport.simulated import firewall, network
from orchestration.transport.simulated import machine as shell
from orchestration.transport.simulated.machine import (
    Answer,
    File,
    Handler,
    Machine,
    Sleeper,
)
from orchestration.transport.simulated.store import Fault, Store

SCRIPT_S = 0.01
# A shorter wait is not worth a process that others could see and end.
SHORTEST_SLEEP_S = 0.05
LOOK_S = 0.2
KEPT_BYTES = 1024 * 1024

HANDLERS: dict[str, Handler] = {
    "ovs-vsctl": network.ovs_vsctl,
    "ovs-appctl": network.ovs_appctl,
    "ip": network.ip,
    "qemu-img": shell.qemu_img,
    "mkdir": shell.mkdir,
    "rm": shell.remove,
    "mv": shell.move,
    "test": shell.test,
    "find": shell.find,
    "stat": shell.stat,
    "sha256sum": shell.sha256sum,
}


class SimulatedTransport:
    """One simulated machine; many processes may use the same one."""

    def __init__(
        self, machine: str, folder: Path, *, script_s: float = SCRIPT_S
    ) -> None:
        self._machine = machine
        self._script_s = script_s
        self._store = Store(machine, folder)

    @property
    def machine(self) -> str:
        """The machine's name as users know it."""
        return self._machine

    def run(
        self,
        cmd: Command,
        *,
        scope: Scope,
        timeout_s: float = 60.0,
        on_line: OnLine | None = None,
        check: bool = True,
        feed: Iterator[bytes] | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Completed:
        """Answer a command from the machine's state; see Transport.run."""
        scope.check_cancelled()
        for _ in feed or ():
            scope.check_cancelled()
        started = time.monotonic()
        cmd = _unwrapped(cmd)
        fault = self._store.fault(str(cmd))
        answer = self._answer(cmd, fault)
        seconds = fault.sleep_s or self._duration_s(cmd, answer)
        if seconds >= SHORTEST_SLEEP_S:
            exit_code = self._sleep(cmd, scope, seconds, timeout_s, fault)
            answer = answer._replace(exit_code=answer.exit_code or exit_code)
        elif seconds:
            scope.sleep(seconds)
        if on_bytes is not None:
            on_bytes(answer.stdout.encode())
        elif on_line is not None:
            _tell(on_line, answer)
        taken_s = time.monotonic() - started
        completed = Completed(cmd, *answer, taken_s)
        return conclude(completed, self._machine, check=check)

    def put(
        self,
        source: Path | bytes,
        target: str,
        *,
        scope: Scope,
        mode: int = 0o644,
        as_root: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Record a file, with its content if it is small. See Transport.put."""
        scope.check_cancelled()
        self._refuse_file(f"put {target}", scope)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        file = File(size=size, changed_s=int(time.time()))
        if size <= KEPT_BYTES:
            data = source if isinstance(source, bytes) else source.read_bytes()
            file.sha256 = self._store.keep(data)
        with self._store.opened() as machine:
            machine.files[target] = file
            self._store.record(0, f"put {target} ({size} bytes)")
        if on_progress is not None:
            on_progress(size, size)

    def get(self, source: str, target: Path, *, scope: Scope) -> None:
        """Fetch a file; a large one, whose content is not kept, becomes a hole."""
        scope.check_cancelled()
        self._refuse_file(f"get {source}", scope)
        with self._store.opened() as machine:
            file = machine.files.get(source)
            self._store.record(0 if file else 1, f"get {source}")
        if file is None:
            raise CommandFailed(
                f"There is no file {source} on {self._machine}.", exit_code=1
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        if file.sha256:
            part.write_bytes(self._store.content(file.sha256))
        else:
            with part.open("wb") as writer:
                writer.truncate(file.size)
        part.replace(target)

    def end(self, tag_prefix: str, *, grace_s: float = 0.3) -> Ended:
        """End the commands that sleep under this tag, in any process."""
        prefix = tag_prefix.removesuffix(".")
        found: list[Process] = []
        survivors: list[Process] = []
        with self._store.opened() as machine:
            for key, sleeper in list(machine.sleepers.items()):
                if sleeper.until <= time.time():
                    del machine.sleepers[key]
                elif f"{sleeper.tag}.".startswith(f"{prefix}."):
                    process = Process(sleeper.pid, sleeper.name)
                    found.append(process)
                    if sleeper.stubborn:
                        survivors.append(process)
                    else:
                        del machine.sleepers[key]
        return Ended(self._machine, tuple(found), tuple(survivors))

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _answer(self, cmd: Command, fault: Fault) -> Answer:
        program, *words = cmd.argv
        handler = HANDLERS.get(program.rsplit("/", 1)[-1])
        with self._store.opened() as machine:
            if fault.unreachable:
                answer = Answer(255)
            elif fault.exit_code:
                answer = Answer(fault.exit_code, "", fault.stderr)
            elif program == "nft":
                answer = firewall.nft(machine, words, cmd.stdin.decode())
            elif handler is not None:
                answer = handler(machine, words)
            else:
                answer = self._read_or_run(machine, cmd)
            self._store.record(answer.exit_code, str(cmd))
        self._refuse_away(fault)
        return answer

    def _refuse_away(self, fault: Fault) -> None:
        if fault.unreachable:
            raise HostUnreachable(
                f"{self._machine} does not answer.",
                hint="It is simulated: see its faults file.",
            )

    def _refuse_file(self, line: str, scope: Scope) -> None:
        """Apply a fault of `put PATH` or `get PATH`."""
        fault = self._store.fault(line)
        self._refuse_away(fault)
        scope.sleep(fault.sleep_s)
        if fault.exit_code:
            raise CommandFailed(
                f"Simulated: {line} failed on {self._machine}.",
                exit_code=fault.exit_code,
                detail=fault.stderr,
            )

    def _read_or_run(self, machine: Machine, cmd: Command) -> Answer:
        """Answer `cat`, and run scripts that were put here, by any program."""
        path = next((word for word in cmd.argv if word in machine.files), "")
        if cmd.argv[0] == "cat":
            sha256 = machine.files[path].sha256 if path else ""
            if not sha256:
                return Answer(1, "", f"cat: {cmd.argv[-1]}: No such file\n")
            return Answer(stdout=self._store.content(sha256).decode(errors="replace"))
        if path and cmd.argv[0] not in ("tail", "chmod", "chown", "cp"):
            name = path.rsplit("/", 1)[-1]
            return Answer(stdout=f"{name}: started on {self._machine}\n{name}: done\n")
        return Answer()

    def _duration_s(self, cmd: Command, answer: Answer) -> float:
        if cmd.argv[0].rsplit("/", 1)[-1] == "sleep":
            return sum(float(word) for word in cmd.argv[1:])
        return self._script_s if answer.stdout.endswith(": done\n") else 0.0

    def _sleep(
        self, cmd: Command, scope: Scope, seconds: float, timeout_s: float, fault: Fault
    ) -> int:
        """Simulate a running process; return its exit code (143: it was ended)."""
        tag = tag_of(scope)
        deadline = time.monotonic() + min(seconds, timeout_s)
        key = self._begin(Sleeper(0, tag, str(cmd), time.time() + seconds))
        if fault.stubborn:
            with self._store.opened() as machine:
                machine.sleepers[key].stubborn = True
        while (left := deadline - time.monotonic()) > 0:
            if scope.stop.wait(min(left, LOOK_S)):
                scope.ended.append(self._end_one(key))
                raise Cancelled
            if left > LOOK_S and not self._is_sleeping(key):
                return 143
        proof = self._end_one(key)
        if seconds > timeout_s:
            scope.ended.append(proof)
            raise timed_out(cmd, self._machine, timeout_s, "")
        return 0

    def _begin(self, sleeper: Sleeper) -> str:
        with self._store.opened() as machine:
            machine.next_pid += 1
            sleeper.pid = machine.next_pid
            machine.sleepers[str(sleeper.pid)] = sleeper
        return str(sleeper.pid)

    def _is_sleeping(self, key: str) -> bool:
        with self._store.opened() as machine:
            return key in machine.sleepers

    def _end_one(self, key: str) -> Ended:
        with self._store.opened() as machine:
            sleeper = machine.sleepers.get(key)
            if sleeper is None:
                return Ended(self._machine, (), ())
            process = Process(sleeper.pid, sleeper.name)
            if sleeper.stubborn and sleeper.until > time.time():
                return Ended(self._machine, (process,), (process,))
            del machine.sleepers[key]
            return Ended(self._machine, (process,), ())


def _unwrapped(cmd: Command) -> Command:
    """Return the command in a shell program of ours."""
    if UMASK_SCRIPT in cmd.argv:
        return replace(cmd, argv=cmd.argv[5:])
    return _unconfined(cmd)


def _unconfined(cmd: Command) -> Command:
    """Return the qemu-img command behind SCRIPT and what `confined` gives it."""
    words = cmd.argv
    if words[0] != "sh" or "qemu-img" not in words:
        return cmd
    at = words.index("qemu-img")
    named = {f"/dev/fd/{n}": words[at - 7 + n] for n in (3, 4, 5)}
    return replace(cmd, argv=tuple(named.get(word, word) for word in words[at:]))


def _tell(on_line: OnLine, answer: Answer) -> None:
    for line in answer.stdout.splitlines():
        on_line(Stream.STDOUT, line)
    for line in answer.stderr.splitlines():
        on_line(Stream.STDERR, line)
