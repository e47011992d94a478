"""Machines whose login shell is not sh, or whose login prints: what is read is right.

Against a real sshd, with the shells that are installed here.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import CommandFailed, ShellUnusable
from orchestration.providers.linux import machine
from orchestration.transport.base import Command, Scope, command
from orchestration.transport.local import LocalTransport
from orchestration.transport.ssh import SSHTransport
from tests.orchestration.transport.conftest import Server, carriers

MakeServer = Callable[..., Server]
# What a login shell may take for something else than text.
ODD = "a'b\"c\\d\\\\e\\0101!f !! !$ $HOME `id` %s %b $(id)\n* ? [x] {a,b} ~ #é☃\tend\\"
NOISE = "echo Welcome to host-b; echo -n '% found 7 survivors'"
START_FILES = {
    "bash": (".bashrc", NOISE),
    "tcsh": (".cshrc", NOISE),
    "fish": (".config/fish/config.fish", NOISE),
    "dash": ("", ""),
}


@pytest.fixture(params=["bash", "tcsh", "fish", "dash"])
def noisy(
    request: pytest.FixtureRequest, make_server: MakeServer, tmp_path: Path
) -> SSHTransport:
    """A machine with this login shell, whose start file prints where it has one."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"needs {request.param}")
    server = make_server(shell=shell)
    name, text = START_FILES[request.param]
    if name:
        start_file = tmp_path / "sshd-a" / "home" / name
        start_file.parent.mkdir(parents=True, exist_ok=True)
        start_file.write_text(f"{text}\n")
    return server.transport("host-b")


def test_every_byte_of_a_command_arrives(noisy: SSHTransport, scope: Scope) -> None:
    asked = Command(("printf", "%s", ODD), env={"ODD": ODD})

    completed = noisy.run(asked, scope=scope)

    assert (completed.stdout, completed.stderr) == (ODD, "")


def test_environment_and_input_arrive(noisy: SSHTransport, scope: Scope) -> None:
    show = command("sh", "-c", 'cat; printf "%s" "$ODD"', env={"ODD": ODD}, stdin=b"in")

    assert noisy.run(show, scope=scope).stdout == f"in{ODD}"


def test_exit_status_and_errors_are_the_commands(
    noisy: SSHTransport, scope: Scope
) -> None:
    fail = command("sh", "-c", "echo why >&2; exit 7")

    with pytest.raises(CommandFailed) as failed:
        noisy.run(fail, scope=scope)

    assert (failed.value.exit_code, failed.value.detail) == (7, "why")


def test_file_comes_back_as_it_was_put(
    noisy: SSHTransport, scope: Scope, tmp_path: Path
) -> None:
    content = os.urandom(1000) + b"\x1etestbed\x1e\n"

    noisy.put(content, str(tmp_path / "there"), scope=scope)
    noisy.get(str(tmp_path / "there"), tmp_path / "back", scope=scope)

    assert (tmp_path / "there").read_bytes() == content
    assert (tmp_path / "back").read_bytes() == content


def test_facts_are_those_of_the_machine(noisy: SSHTransport, scope: Scope) -> None:
    seen = machine.observe(noisy, "/", scope=scope)

    here = machine.observe(LocalTransport(), "/", scope=scope)
    assert (seen.kvm, seen.remark) == (here.kvm, here.remark.replace("main", "host-b"))
    assert seen.load > 0 or here.load == 0


def test_long_command_arrives(noisy: SSHTransport, scope: Scope) -> None:
    words = [f"word {number}" for number in range(4000)]

    completed = noisy.run(Command(("printf", "%s\n", *words)), scope=scope)

    assert completed.stdout.splitlines() == words


def test_leftovers_of_a_command_are_ended(noisy: SSHTransport, scope: Scope) -> None:
    start = command("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo started")
    noisy.run(start, scope=scope)

    ended = noisy.end(scope.tag)

    assert ended.survivors == ()
    assert [process.name for process in ended.found] == ["sleep 600"]
    assert carriers(scope.tag) == []


def test_shell_that_runs_nothing_is_named(
    make_server: MakeServer, scope: Scope, tmp_path: Path
) -> None:
    nologin = tmp_path / "nologin"
    nologin.write_text(
        "#!/bin/sh\necho This account is currently not available.\nexit 1"
    )
    nologin.chmod(0o755)
    host = make_server(shell=str(nologin)).transport("host-b")

    with pytest.raises(ShellUnusable) as told:
        host.run(command("true"), scope=scope)

    assert told.value.message == (
        "The login shell of root on host-b does not run commands: it printed "
        "`This account is currently not available.`."
    )
    assert "usermod" in told.value.hint
