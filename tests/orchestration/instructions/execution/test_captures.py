"""A capture takes a tap or bridge with the testbed's mark, and keeps whole packets."""

import shlex
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import (
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    ExecutionRefused,
    ForeignThing,
    NetworkFailed,
    NotEnoughSpace,
)
from orchestration.events import LogLine, Status
from orchestration.events import TaskProgressed as Progress
from orchestration.hosts import Host
from orchestration.instructions.execution import captures
from orchestration.instructions.execution.captures import capture_packets
from orchestration.instructions.task import Task
from orchestration.plan.captures import Capture
from orchestration.plan.execution import Execution, Form
from orchestration.project.fetched import Quota
from orchestration.providers.ovs import mirrors
from orchestration.transport.base import Command, Completed, Scope
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.execution.test_pcap import HEAD, record

STREAM = HEAD + record(b"a" * 60) + record(b"b" * 60)
OWN = '[["testbed","demo"]]'


class Packets(FakeTransport):
    """A host on which tcpdump sends some bytes, and then ends in some way."""

    sent = STREAM
    end: BaseException | None = None
    exit_code = 0

    def on_packets(self) -> None:
        """Do something when the packets have come."""

    def run(self, cmd: Command, **more: object) -> Completed:
        on_bytes = more.get("on_bytes")
        if on_bytes is None:
            return super().run(cmd, **more)  # type: ignore[arg-type]
        self.calls.append(cmd)
        on_bytes(self.sent)  # type: ignore[operator]
        self.on_packets()
        if self.end:
            raise self.end
        return Completed(cmd, self.exit_code, "", "tcpdump: gone", 0.1)


def tables(tag: str = OWN, ports: str = '["set",[["uuid","1"]]]') -> str:
    bridge = f'["br",["map",{tag}],{ports}]'
    return (
        f'{{"headings":["name","external_ids","ports"],"data":[{bridge}]}}\n'
        '{"headings":["_uuid","name"],"data":[[["uuid","1"],"tap"]]}\n'
    )


Make = Callable[..., tuple[Task, Packets]]


@pytest.fixture
def make(make_task: MakeTask, tmp_path: Path) -> Make:
    """Make a task that captures at guest `a`, and its host."""

    def made(
        capture: Capture, *, seen: str = "", filter_reply: Reply | int = 0
    ) -> tuple[Task, Packets]:
        task = make_task("a")
        words = f" {shlex.quote(capture.filter)}" if capture.filter else ""
        host = Packets("host-a")
        tap = task.state.guest("a").interfaces[0]
        ovs = next_call(tap.device, tap.tap)
        host._script = [
            (ovs, Reply(stdout=seen or tables())),
            (
                f"tcpdump -y EN10MB -d --{words}",
                filter_reply if isinstance(filter_reply, Reply) else Reply(),
            ),
            ("id -u tcpdump", Reply(exit_code=1)),
        ]
        here = Host(task.host.state, host, task.host.libvirt)  # type: ignore[arg-type]
        wanted = Execution(Form.CAPTURE, "a", capture=capture, tool=True)
        answers = tmp_path / "answers" / "7"
        return replace(task, host=here, execution=wanted, answers=answers), host

    return made


def next_call(device: str, tap: str) -> str:
    columns = "--if-exists --columns=name,external_ids,ports list Bridge"
    ports = "--if-exists --columns=_uuid,name list Port"
    return (
        f"ovs-vsctl --timeout=20 --format=json -- {columns} {device} -- {ports} {tap}"
    )


def capture(text: str = "", *, most_mib: int = 1) -> Capture:
    return Capture("a", filter=text, most_mib=most_mib, most_s=9)


def kept(task: Task) -> bytes:
    assert task.answers is not None
    return (task.answers / captures.FILE).read_bytes()


def test_packets_are_kept_and_followed(make: Make) -> None:
    task, _ = make(capture("icmp"))
    lines: list[str] = []
    task.sink = lambda e: lines.append(e.text) if isinstance(e, LogLine) else None

    found = capture_packets(task)

    assert (found.status, found.message) == (Status.DONE, "2 packets, 176 B")
    assert kept(task) == STREAM
    assert "2 packets, 176 B so far" in lines


def test_tcpdump_gets_one_device_and_the_filter_as_one_word(make: Make) -> None:
    task, host = make(capture("icmp or arp"))

    capture_packets(task)

    cmd = host.calls[-1]
    tap = task.state.guest("a").interfaces[0].tap
    assert cmd.argv[:3] == ("tcpdump", "-i", tap)
    assert cmd.argv[-2:] == ("--", "icmp or arp")
    assert cmd.argv[cmd.argv.index("-Z") + 1] == "nobody"
    assert cmd.as_root


@pytest.mark.parametrize(
    ("end", "message"),
    [(CommandTimedOut("late", exit_code=124), "2 packets, 176 B; ended after 9 s")],
)
def test_time_limit_is_an_end_like_another(
    make: Make, end: BaseException, message: str
) -> None:
    task, host = make(capture())
    host.end = end

    found = capture_packets(task)

    assert (found.status, found.message) == (Status.DONE, message)


def test_size_limit_ends_it_after_a_whole_packet(make: Make) -> None:
    task, host = make(capture())
    large = record(b"c" * 200_000)
    host.sent = HEAD + large * 6

    found = capture_packets(task)

    assert found.message.endswith("; ended at 1 MiB")
    assert kept(task) == HEAD + large * 5


def test_cancelled_capture_keeps_its_packets(make: Make) -> None:
    task, host = make(capture())
    host.end = Cancelled("Cancelled.")

    found = capture_packets(task)

    assert kept(task) == STREAM
    assert found.status is Status.CANCELLED
    assert found.message == "Stopped with 2 packets, 176 B."


def test_packets_are_counted_from_none_on(make: Make) -> None:
    task, _ = make(capture())
    counts: list[int] = []
    task.sink = lambda e: counts.append(e.done) if isinstance(e, Progress) else None

    capture_packets(task)
    task.close()

    assert counts == [0, 2]


def test_capture_that_ends_by_itself_has_failed(make: Make) -> None:
    task, host = make(capture())
    host.exit_code = 1

    with pytest.raises(CommandFailed) as caught:
        capture_packets(task)

    assert caught.value.message == (
        "The capture on host-a ended by itself: 2 packets, 176 B."
    )


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (tables(tag='[["testbed","other"]]'), ForeignThing),
        (tables(tag="[]"), ForeignThing),
        (tables(ports='["set",[]]'), NetworkFailed),
    ],
)
def test_tap_without_the_testbeds_mark_is_not_captured(
    make: Make, seen: str, error: type[Exception]
) -> None:
    task, host = make(capture(), seen=seen)

    with pytest.raises(error):
        capture_packets(task)

    assert [call.argv[0] for call in host.calls] == ["ovs-vsctl"]


@pytest.mark.parametrize(
    ("exit_code", "error", "message"),
    [
        (1, ExecutionRefused, "`icmp icmp` is no filter that tcpdump can compile."),
        (
            127,
            CommandFailed,
            "Packets cannot be captured on host-a: it has no tcpdump.",
        ),
    ],
)
def test_filter_is_compiled_before_anything_is_captured(
    make: Make, exit_code: int, error: type[CommandFailed], message: str
) -> None:
    reply = Reply(exit_code=exit_code)
    task, _ = make(capture("icmp icmp"), filter_reply=reply)

    with pytest.raises(error) as caught:
        capture_packets(task)

    assert caught.value.message == message
    assert not (task.answers / captures.FILE).exists()  # type: ignore[operator]


class Mirrors:
    """The mirrors of a host; `error` is why one cannot be removed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there: dict[str, str] = {}
        self.error: NetworkFailed | None = None
        monkeypatch.setattr(mirrors, "create", self._create)
        monkeypatch.setattr(mirrors, "delete", self._delete)

    def _create(
        self, host: Packets, device: str, port: str, *, scope: Scope, **_: object
    ) -> None:
        scope.check_cancelled()
        self.there[scope.tag] = f"{port} of {device}"

    def _delete(self, host: Packets, mark: str, *, scope: Scope) -> bool:
        scope.check_cancelled()
        if self.error:
            raise self.error
        return bool(self.there.pop(mark, ""))


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Mirrors:
    return Mirrors(monkeypatch)


def of_bridge(make: Make) -> tuple[Task, Packets]:
    task, host = make(capture())
    wanted = Capture(bridge="br0", most_mib=1, most_s=9)
    task.execution = Execution(Form.CAPTURE, "bridge br0", capture=wanted, tool=True)
    task.scope.tag = "demo.r1.b1.t0"
    host._script = host._script[1:]
    return task, host


@pytest.mark.parametrize(
    "end", [None, CommandTimedOut("late", exit_code=124), Cancelled("Stop.")]
)
def test_bridge_is_captured_at_a_mirror_that_goes_with_the_capture(
    make: Make, switch: Mirrors, end: BaseException | None
) -> None:
    task, host = of_bridge(make)
    host.end = end
    seen: list[dict[str, str]] = []
    task.sink = lambda _: seen.append(dict(switch.there))
    if isinstance(end, Cancelled):
        host.on_packets = task.scope.cancel

    capture_packets(task)

    port = host.calls[-1].argv[2]
    device = task.state.network.bridges[0].device
    assert {"demo.r1.b1.t0": f"{port} of {device}"} in seen
    assert switch.there == {}
    assert task.scope.ended == []
    assert kept(task) == STREAM


def test_mirror_that_cannot_be_removed_is_a_leftover(
    make: Make, switch: Mirrors
) -> None:
    task, _ = of_bridge(make)
    switch.error = NetworkFailed("Open vSwitch could not be read.")

    capture_packets(task)

    [proof] = task.scope.ended
    assert proof.survivors[0].name == (
        "its mirror port may be left: Open vSwitch could not be read."
    )


def test_full_disk_of_main_takes_no_capture(make: Make, tmp_path: Path) -> None:
    task, _ = make(capture())
    free = shutil.disk_usage(tmp_path).free
    task.quota = Quota(spare_bytes=2 * free)

    with pytest.raises(NotEnoughSpace):
        capture_packets(task)


def test_file_is_readable_to_its_owner_alone(make: Make) -> None:
    task, _ = make(capture())

    capture_packets(task)

    assert task.answers is not None
    assert (task.answers / captures.FILE).stat().st_mode & 0o777 == 0o600
    assert struct.unpack_from("<I", kept(task))[0] == 0xA1B2C3D4
