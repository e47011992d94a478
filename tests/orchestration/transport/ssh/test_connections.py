"""Connections to a real sshd: shared, over two hops, and to servers that die.

Keys are in test_ssh_keys.py, servers that say nothing in test_ssh_silence.py, the probe
of a banner in test_probe.py.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import paramiko
import pytest

from orchestration.errors import AuthenticationRefused, HostKeyMismatch, HostUnreachable
from orchestration.transport.base import Command, command
from orchestration.transport.ssh import connection
from tests.orchestration.transport.conftest import carriers, free_port
from tests.waiting import wait_until


def sessions_of(server) -> int:
    """Count the connections that a server serves."""
    children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    with open(children) as file:  # noqa: PTH123
        return len(file.read().split())


def test_thirty_commands_at_once_share_one_connection(server, scope):
    machine = server.transport()

    def echo(number: int) -> str:
        return machine.run(command("echo", str(number)), scope=scope).stdout

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(echo, range(30)))

    assert answers == [f"{number}\n" for number in range(30)]
    assert sessions_of(server) == 1


def test_login_that_began_before_a_close_holds_up_nobody(server, scope, monkeypatch):
    machine, begun, go_on = server.transport(), threading.Event(), threading.Event()
    log_in = connection.dial

    def held(*args: object) -> connection.Link:
        monkeypatch.setattr(connection, "dial", log_in)
        begun.set()
        go_on.wait(60)
        return log_in(*args)

    monkeypatch.setattr(connection, "dial", held)
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(machine.run, command("true"), scope=scope)
        begun.wait(60)
        machine.close()
        later = pool.submit(machine.run, command("echo", "here"), scope=scope)
        try:
            assert later.result(60).stdout == "here\n"
        finally:
            go_on.set()
        early.exception(60)

    assert machine.run(command("echo", "still"), scope=scope).stdout == "still\n"
    wait_until(lambda: sessions_of(server) == 1)


def test_two_hops_share_the_jump_and_answer_apart(make_server, scope):
    host, guest = make_server("host"), make_server("guest")
    jump = host.transport("host-b")
    targets = [guest.transport(f"guest-{n}", via=jump) for n in range(6)]

    def tell(number: int) -> str:
        target = targets[number % len(targets)]
        script = f"echo {number}; echo $SSH_CONNECTION"
        return target.run(command("sh", "-c", script), scope=scope).stdout

    with ThreadPoolExecutor(30) as pool:
        answers = [answer.splitlines() for answer in pool.map(tell, range(30))]

    assert [lines[0] for lines in answers] == [str(n) for n in range(30)]
    assert {lines[1].split()[3] for lines in answers} == {str(guest.port)}
    assert sessions_of(host) == 1
    assert sessions_of(guest) == len(targets)
    assert jump.run(command("echo", "still there"), scope=scope).exit_code == 0


def test_closing_targets_amid_output_leaves_the_jump_alone(make_server, scope):
    host, guest = make_server("host"), make_server("guest")
    jump = host.transport("host-b")

    def fan_out(number: int) -> int:
        target = guest.transport(f"guest-{number}", via=jump)
        done = target.run(command("head", "-c", "300000", "/dev/zero"), scope=scope)
        target.close()
        return len(done.stdout)

    for _ in range(3):
        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(fan_out, range(10))) == {300000}
    assert sessions_of(host) == 1


def test_guest_that_dies_amid_input_leaves_the_jump_alone(make_server, scope):
    host, guest = make_server("host"), make_server("guest")
    jump = host.transport("host-b")

    def feed(number: int) -> None:
        target = guest.transport(f"guest-{number}", via=jump)
        cmd = Command(("sh", "-c", "cat >/dev/null"), stdin=b"x" * 300_000_000)
        with pytest.raises(HostUnreachable):
            target.run(cmd, scope=scope)

    with ThreadPoolExecutor(6) as pool:
        feeding = [pool.submit(feed, number) for number in range(6)]
        wait_until(lambda: len(carriers(scope.tag)) >= 12)
        connected = host.connections()
        guest.kill()
        for one in feeding:
            one.result()

    assert jump.run(command("true"), scope=scope).exit_code == 0
    assert host.connections() == connected
    wait_until(lambda: not carriers(scope.tag))  # each reads the end of its input first


def test_data_that_comes_late_for_a_closed_tunnel_is_dropped(make_server, scope):
    host, guest = make_server("host"), make_server("guest")
    jump = host.transport("host-b")
    jump.run(command("true"), scope=scope)
    connected = host.connections()
    tunnel = jump.connection.tunnel("127.0.0.1", guest.port, 60)
    late = paramiko.Message()
    late.add_byte(paramiko.common.cMSG_CHANNEL_DATA)
    late.add_int(tunnel._channel.remote_chanid)
    late.add_string(b"late")

    tunnel.close()
    tunnel._channel.transport._send_user_message(late)

    assert jump.run(command("true"), scope=scope).exit_code == 0
    assert host.connections() == connected


def test_closed_port_is_named(server, scope):
    machine = server.transport(port=free_port())

    with pytest.raises(
        HostUnreachable, match="no server listens on that port"
    ) as failed:
        machine.run(command("true"), scope=scope)

    assert not isinstance(failed.value, AuthenticationRefused | HostKeyMismatch)
    assert failed.value.retryable


def test_unreachable_guest_behind_a_host_names_the_guest(server, scope):
    guest = server.transport("web-1", port=free_port(), via=server.transport())

    with pytest.raises(HostUnreachable, match=r"web-1 .* cannot be reached"):
        guest.run(command("true"), scope=scope)


def test_restarted_server_is_dialled_again(server, scope):
    machine = server.transport()
    machine.run(command("true"), scope=scope)
    server.kill()
    server.start()

    assert machine.run(command("echo", "back"), scope=scope).stdout == "back\n"


def test_restarted_jump_is_dialled_again(make_server, scope):
    host, guest = make_server("host"), make_server("guest")
    target = guest.transport("guest", via=host.transport("host-b"))
    target.run(command("true"), scope=scope)
    host.kill()
    host.start()

    assert target.run(command("echo", "back"), scope=scope).stdout == "back\n"


def test_command_whose_server_dies_is_not_sent_again(server, scope, tmp_path):
    machine = server.transport()
    log = tmp_path / "log"
    errors: list[Exception] = []

    def run() -> None:
        try:
            machine.run(
                command("sh", "-c", f"echo ran >>{log}; sleep 600"), scope=scope
            )
        except HostUnreachable as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(log.exists)
    server.kill()
    thread.join(120)
    server.start()

    assert "cannot be reached" in str(errors[0])
    assert log.read_text() == "ran\n"
    assert "sleep 600" in scope.ended[0].survivors[0].name
    assert len(machine.end(scope.tag).found) == 2


@pytest.mark.parametrize(
    ("error", "attempts"), [(TimeoutError, 1), (ConnectionRefusedError, 2)]
)
def test_machine_that_just_did_not_answer_is_not_waited_for_by_the_next(
    server, scope, monkeypatch, error, attempts
):
    machine, asked = server.transport(), []

    def connect(address, port, timeout_s):
        asked.append(address)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(connection, "connect_tcp", connect)
        patch.setattr(connection, "SILENT_S", 600.0)
        for _ in range(2):
            with pytest.raises(HostUnreachable, match=r"host-a .* cannot be reached"):
                machine.run(command("true"), scope=scope)
        assert len(asked) == attempts

    monkeypatch.setattr(connection, "SILENT_S", 0.0)
    assert machine.run(command("true"), scope=scope).exit_code == 0


def test_close_is_harmless_twice_and_a_later_use_connects(server, scope):
    machine = server.transport()
    machine.close()
    machine.run(command("true"), scope=scope)
    machine.close()
    machine.close()

    assert machine.run(command("echo", "x"), scope=scope).stdout == "x\n"
