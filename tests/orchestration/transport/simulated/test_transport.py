"""Machines that only rehearse: they remember, fail on demand, and end honestly."""

import json
import threading

import pytest

from orchestration.errors import (
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    HostUnreachable,
    StateError,
)
from orchestration.transport.base import Scope, Transport, command
from orchestration.transport.simulated import store
from orchestration.transport.simulated.transport import SimulatedTransport
from tests.waiting import wait_until


@pytest.fixture
def host(tmp_path) -> Transport:
    return SimulatedTransport("host-a", tmp_path)


@pytest.fixture
def scope():
    return Scope("demo.7.1")


def run(host, words, scope, **options):
    return host.run(command(*words.split()), scope=scope, **options)


def fail_with(tmp_path, **faults):
    (tmp_path / "host-a.faults.json").write_text(json.dumps(faults))


def sleeping(host, words, scope):
    """Start a command in a thread; return it and its outcome once it is there."""
    outcome = []

    def work():
        try:
            outcome.append(run(host, words, scope, check=False).exit_code)
        except Exception as exc:  # noqa: BLE001 - handed to the test
            outcome.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: any(is_there(host, words)))
    return thread, outcome


def is_there(host, words):
    with host._store.opened() as machine:
        yield from (s.name == words for s in machine.sleepers.values())


def test_unknown_commands_succeed_and_are_recorded(host, tmp_path, scope):
    done = run(host, "systemctl restart anything", scope)

    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "host-a.log").read_text() == "0 systemctl restart anything\n"


def test_secret_arguments_are_not_recorded(host, tmp_path, scope):
    secret = command("login", "hunter2")
    host.run(type(secret)(secret.argv, secret=True), scope=scope)

    assert "hunter2" not in (tmp_path / "host-a.log").read_text()


def test_log_stays_bounded_and_keeps_the_newest(host, tmp_path, scope, monkeypatch):
    monkeypatch.setattr(store, "LOG_BYTES", 2000)

    for number in range(200):
        run(host, f"echo number {number}", scope)

    lines = (tmp_path / "host-a.log").read_text().splitlines()
    assert sum(len(line) + 1 for line in lines) < 2100
    assert lines[-1] == "0 echo number 199"
    assert all(line.startswith("0 echo number ") for line in lines)


def test_files_are_remembered_by_every_process(host, tmp_path, scope):
    host.put(b"content\n", "/p/demo/a", scope=scope)
    other = SimulatedTransport("host-a", tmp_path)

    other.get("/p/demo/a", tmp_path / "x" / "got", scope=scope)

    assert (tmp_path / "x" / "got").read_bytes() == b"content\n"
    assert run(other, "cat /p/demo/a", scope).stdout == "content\n"
    assert run(other, "stat -c %s /p/demo/a", scope).stdout == "8\n"
    assert run(other, "test -d /p/demo -a -e /p/demo/a", scope).exit_code == 0
    assert run(other, "test -e /p/demo/b", scope, check=False).exit_code == 1


def test_machines_in_one_folder_know_nothing_of_each_other(host, tmp_path, scope):
    host.put(b"1", "/a", scope=scope)
    other = SimulatedTransport("host-b", tmp_path)

    with pytest.raises(CommandFailed, match="no file /a on host-b"):
        other.get("/a", tmp_path / "a", scope=scope)


def test_large_files_cost_no_room_but_keep_their_size(host, tmp_path, scope):
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(3_000_000_000)

    host.put(image, "/i/image", scope=scope)
    host.get("/i/image", tmp_path / "back", scope=scope)

    assert (tmp_path / "back").stat().st_size == 3_000_000_000
    assert (tmp_path / "back").stat().st_blocks < 1000


def test_moved_and_removed_files_are_gone(host, scope):
    for name in ("a", "b", "c/d"):
        host.put(b"", f"/p/{name}", scope=scope)

    run(host, "mv -f /p/a /p/z", scope)
    run(host, "rm -f -- /p/b", scope)
    run(host, "mkdir -p /p/c/e", scope)
    run(host, "rm -rf -- /p/c", scope)

    left = [
        name
        for name in ("a", "z", "b", "c", "c/d", "c/e")
        if run(host, f"test -e /p/{name}", scope, check=False).exit_code == 0
    ]
    assert left == ["z"]


def test_script_that_was_put_there_speaks(host, scope):
    host.put(b"#!/bin/sh\n", "/tmp/setup.sh", scope=scope)
    heard = []

    done = run(
        host,
        "sh /tmp/setup.sh",
        scope,
        on_line=lambda stream, text: heard.append((stream.value, text)),
    )

    assert heard == [
        ("stdout", "setup.sh: started on host-a"),
        ("stdout", "setup.sh: done"),
    ]
    assert done.stdout.splitlines() == [text for _, text in heard]


def test_fault_with_the_longest_beginning_wins(host, tmp_path, scope):
    fail_with(
        tmp_path,
        **{
            "ip link": {"exit_code": 2, "stderr": "general"},
            "ip link add": {"exit_code": 3, "stderr": "special"},
            "put /etc": {"exit_code": 1, "stderr": "read-only"},
        },
    )

    with pytest.raises(CommandFailed) as failed:
        run(host, "ip link add a type veth peer name b", scope)
    assert (failed.value.exit_code, failed.value.detail) == (3, "special")
    assert run(host, "ip link show", scope, check=False).exit_code == 2
    assert run(host, "ip address show", scope).exit_code == 0
    with pytest.raises(CommandFailed, match="put /etc/x failed on host-a"):
        host.put(b"", "/etc/x", scope=scope)


def test_machine_can_be_away(host, tmp_path, scope):
    fail_with(tmp_path, **{"": {"unreachable": True}})

    with pytest.raises(HostUnreachable, match="host-a does not answer"):
        run(host, "true", scope)
    with pytest.raises(HostUnreachable):
        host.put(b"", "/x", scope=scope)
    with pytest.raises(HostUnreachable):
        host.get("/x", tmp_path / "x", scope=scope)


@pytest.mark.parametrize("text", ["{", '{"ip": {"nonsense": 1}}', '{"ip": 1}'])
def test_broken_faults_are_told(host, tmp_path, scope, text):
    (tmp_path / "host-a.faults.json").write_text(text)

    with pytest.raises(StateError, match="faults of simulated machine host-a"):
        run(host, "ip link show", scope)


def test_cancel_ends_a_sleeping_command_and_proves_it(host, scope):
    thread, outcome = sleeping(host, "sleep 600", scope)

    scope.cancel()
    thread.join()

    assert isinstance(outcome[0], Cancelled)
    (proof,) = scope.ended
    assert (proof.machine, proof.survivors) == ("host-a", ())
    assert [process.name for process in proof.found] == ["sleep 600"]
    assert host.end("demo.7").found == ()


def test_end_from_another_process_ends_exactly_the_prefix(host, tmp_path):
    mine, other = Scope("demo.7.1"), Scope("demo.71.1")
    first = sleeping(host, "sleep 600", mine)
    second = sleeping(host, "sleep 601", other)

    ended = SimulatedTransport("host-a", tmp_path).end("demo.7.")

    first[0].join()
    assert [process.name for process in ended.found] == ["sleep 600"]
    assert ended.survivors == ()
    assert first[1] == [143]
    assert second[0].is_alive()
    other.cancel()
    second[0].join()


def test_stubborn_command_is_a_survivor(host, tmp_path, scope):
    fail_with(tmp_path, backup={"sleep_s": 600, "stubborn": True})
    thread, _ = sleeping(host, "backup now", scope)

    scope.cancel()
    thread.join()

    (proof,) = scope.ended
    assert [process.name for process in proof.survivors] == ["backup now"]
    assert host.end("demo.7").survivors == proof.survivors


def test_command_that_takes_too_long_is_ended(host, scope):
    with pytest.raises(CommandTimedOut, match=r"sleep 600.*within 0\.06 s"):
        run(host, "sleep 600", scope, timeout_s=0.06)

    assert [process.name for process in scope.ended[0].found] == ["sleep 600"]
    assert host.end("demo.7").found == ()


def test_slow_command_still_does_its_work(host, tmp_path, scope):
    fail_with(tmp_path, mkdir={"sleep_s": 0.06})

    run(host, "mkdir -p /p/x", scope)

    assert run(host, "test -d /p/x", scope).exit_code == 0
    assert host.end("demo.7").found == ()


def test_nothing_runs_after_a_cancel(host, tmp_path, scope):
    scope.cancel()

    with pytest.raises(Cancelled):
        run(host, "mkdir /x", scope)
    with pytest.raises(Cancelled):
        host.put(b"", "/x", scope=scope)
    assert not (tmp_path / "host-a.log").exists()


def test_many_threads_lose_nothing(tmp_path, scope):
    def work(number):
        own = SimulatedTransport("host-a", tmp_path)
        for step in range(20):
            run(own, f"mkdir -p /p/{number}-{step}", scope)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with SimulatedTransport("host-a", tmp_path)._store.opened() as machine:
        assert len(machine.folders) == 160


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_name_that_is_a_path_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="not a machine's name"):
        SimulatedTransport(name, tmp_path)
