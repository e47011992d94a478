"""The ending command in the shells and with the tools that machines really have."""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.errors import Cancelled
from orchestration.transport.base import Ended, Process, command
from orchestration.transport.processes.ending import end_here, end_line, parse_ended
from tests.orchestration.transport.conftest import carriers
from tests.orchestration.transport.processes.test_tags import SUDO
from tests.orchestration.transport.shell import STUBBORN
from tests.waiting import wait_until

GREP_WITHOUT_Z = """#!/bin/sh
case "$1" in -*z*) echo "unrecognized option: z" >&2; exit 2;; esac
exec busybox grep "$@"
"""


@pytest.fixture
def tools(tmp_path, request):
    """A PATH with the tools of one kind of machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    kind = request.param
    if kind == "bash":
        (folder / "sh").symlink_to(shutil.which("bash"))
        return f"{folder}:{os.environ['PATH']}"
    busybox = shutil.which("busybox")
    if kind == "debian":
        folder.rmdir()
        return os.environ["PATH"]
    if busybox is None:
        pytest.skip("busybox is not installed")
    applets = ["sh", "sleep", "grep", "tr", "id", "env", "head", "busybox"]
    applets += ["awk", "cat"] if kind != "old busybox" else []
    for applet in applets:
        (folder / applet).symlink_to(busybox)
    if kind == "old busybox":
        (folder / "grep").unlink()
        (folder / "grep").write_text(GREP_WITHOUT_Z)
        (folder / "grep").chmod(0o755)
    if kind == "busybox with sudo":
        (folder / "sudo").write_text(SUDO)
        (folder / "sudo").chmod(0o755)
    return str(folder)


# What clears its environment: a child, one in a session of its own, one whose parent
# is gone, one that also ignores TERM.
DISGUISES = [
    "env -i sleep {mark} &",
    "env -i setsid sleep {mark} &",
    "(env -i sleep {mark} &)",
    "env -i sh -c \"trap '' TERM; sleep {mark}; sleep {mark}\" &",
]


def free_mark():
    """Return a time to sleep that nobody else sleeps."""
    return 100_000 + secrets.randbelow(900_000)


def start_disguised(tag, mark):
    """Start a tagged shell with children that do not carry the tag."""
    lines = "\n".join(line.format(mark=mark) for line in DISGUISES)
    workload = subprocess.Popen(
        ["sh", "-c", f"{lines}\nsleep 600"],
        env={**os.environ, "TESTBED_TAG": tag},
        start_new_session=True,
    )
    wait_until(lambda: len(sleepers(mark)) == len(DISGUISES))
    assert not set(sleepers(mark)) & set(carriers(tag))
    return workload


def sleepers(mark):
    """Return the pids of those who sleep for so long."""
    words = f"sleep\0{mark}\0".encode()
    return [
        int(path.parent.name)
        for path in process_files("cmdline")
        if read(path) == words
    ]


def process_files(name):
    """Return this file of each process; `glob` fails on one that ends meanwhile."""
    return [one / name for one in Path("/proc").iterdir() if one.name.isdigit()]


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def running(program):
    """Return the pids of those who run this program."""
    words = f"{program}\0".encode()
    found = process_files("cmdline")
    return [int(path.parent.name) for path in found if read(path).startswith(words)]


def line_to_end(tag):
    return end_line(tag, 0.1, is_root=True)


def said_at_the_end(tag, tools):
    """Run the ending command with these tools; return what it printed."""
    return subprocess.run(
        [shutil.which("sh"), "-c", line_to_end(tag)],
        env={"PATH": tools},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


KINDS = ["debian", "busybox", "old busybox", "busybox with sudo"]


@pytest.mark.parametrize("tools", KINDS, indirect=True)
@pytest.mark.parametrize("is_root", [True, False])
def test_stubborn_processes_end_with_the_tools_at_hand(scope, tools, is_root):
    workload = subprocess.Popen(
        ["sh", "-c", STUBBORN], env={**os.environ, "TESTBED_TAG": scope.tag}
    )
    wait_until(lambda: len(carriers(scope.tag)) >= 7)
    pids = set(carriers(scope.tag))

    done = subprocess.run(
        [shutil.which("sh"), "-c", end_line(scope.tag, 0.1, is_root=is_root)],
        env={"PATH": tools},
        capture_output=True,
        text=True,
        check=True,
    )
    workload.wait()
    ended = parse_ended("host-a", done.stdout)

    assert pids <= {process.pid for process in ended.found}
    assert "sleep 601" in {process.name for process in ended.found}
    assert ended.survivors == ()
    assert carriers(scope.tag) == []


@pytest.mark.parametrize("tools", ["debian", "busybox", "bash"], indirect=True)
def test_process_with_a_cleared_environment_is_found_by_its_kin(scope, tools):
    mark = free_mark()
    workload = start_disguised(scope.tag, mark)

    done = subprocess.run(
        [shutil.which("sh"), "-c", line_to_end(scope.tag)],
        env={"PATH": tools},
        capture_output=True,
        text=True,
        check=True,
    )
    workload.wait()
    ended = parse_ended("host-a", done.stdout)

    assert sleepers(mark) == []
    assert sum(p.name == f"sleep {mark}" for p in ended.found) >= len(DISGUISES)
    assert ended.survivors == ()


@pytest.mark.parametrize("tools", ["debian", "busybox", "bash"], indirect=True)
def test_process_named_with_newlines_is_found_by_its_kin(scope, tools, tmp_path):
    mark, program = free_mark(), tmp_path / "a\nb) S\n9 (c"
    program.symlink_to("/bin/sleep")
    workload = subprocess.Popen(
        ["sh", "-c", 'env -i "$1" "$2" & sleep 600', "sh", program, str(mark)],
        env={**os.environ, "TESTBED_TAG": scope.tag},
    )
    (pid,) = wait_until(lambda: running(program))

    said = said_at_the_end(scope.tag, tools)
    workload.wait()

    assert pid in {process.pid for process in parse_ended("host-a", said).found}
    assert running(program) == []


@pytest.mark.parametrize("tools", ["debian", "busybox", "bash"], indirect=True)
def test_name_like_a_line_of_another_process_ends_no_other(scope, tools, tmp_path):
    neighbour = subprocess.Popen(["sleep", "600"], start_new_session=True)
    program = tmp_path / f"\n{neighbour.pid} (x"
    program.symlink_to("/bin/sleep")
    workload = subprocess.Popen(
        ["sh", "-c", 'env -i "$1" 600 & sleep 600', "sh", program],
        env={**os.environ, "TESTBED_TAG": scope.tag},
    )
    wait_until(lambda: running(program))

    said = said_at_the_end(scope.tag, tools)
    workload.wait()
    lives_on = neighbour.poll() is None
    neighbour.kill()
    neighbour.wait()

    assert lives_on
    found = parse_ended("host-a", said).found
    assert neighbour.pid not in {process.pid for process in found}
    assert running(program) == []


def test_process_with_a_cleared_environment_is_found_here_too(scope):
    mark = free_mark()
    workload = start_disguised(scope.tag, mark)

    ended = end_here("main", scope.tag, 0.1)
    workload.wait()

    assert sleepers(mark) == []
    assert sum(p.name == f"sleep {mark}" for p in ended.found) >= len(DISGUISES)
    assert ended.survivors == ()


@pytest.mark.parametrize("is_here", [True, False], ids=["here", "script"])
def test_neighbours_of_what_is_ended_live_on(scope, is_here):
    """A child of the same shell, and members of the shell's session, are not ours."""
    mark = free_mark()
    shell = subprocess.Popen(
        ["sh", "-c", f"sleep {mark} & TESTBED_TAG={scope.tag} sleep 600 & wait"],
        start_new_session=True,
    )
    wait_until(lambda: carriers(scope.tag) and sleepers(mark))

    if is_here:
        ended = end_here("main", scope.tag, 0.1)
    else:
        line = line_to_end(scope.tag)
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
        ended = parse_ended("main", done.stdout)
    left = sleepers(mark)
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()

    assert [process.name for process in ended.found] == ["sleep 600"]
    assert len(left) == 1


HERE = """
import sys
from orchestration.transport.processes.ending import end_here
for process in end_here("main", sys.argv[1], 0.1).found:
    print("found", process.pid, flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a pid namespace")
@pytest.mark.parametrize("is_here", [True, False], ids=["here", "script"])
def test_session_whose_leader_is_outside_the_container_is_nobodys(scope, is_here):
    """Started by `docker exec` or an init without setsid, all are in session 0."""
    mark = free_mark()
    ending = [sys.executable, "-c", HERE, scope.tag]
    if not is_here:
        ending = ["sh", "-c", line_to_end(scope.tag)]
    inside = (
        f"sleep {mark} & TESTBED_TAG={scope.tag} sleep 600 &\n"
        "until grep -qz TESTBED_TAG= /proc/$!/environ; do sleep 0.05; done\n"
        f"({shlex.join(ending)})\n"
        f"kill -0 %1 && echo neighbour lives; kill -KILL %1"
    )

    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "bash", "-c", inside],
        capture_output=True,
        text=True,
    )

    assert done.stdout.count("found") == 1, done
    assert "neighbour lives" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox"])
def test_cancel_ends_all_escapes_under_every_login_shell(
    make_server, scope, tmp_path, shell
):
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    login = tmp_path / ("ash" if shell == "busybox" else shell)
    login.symlink_to(program)
    mark = free_mark()
    lines = "\n".join(line.format(mark=mark) for line in DISGUISES)
    transport = make_server(shell=str(login)).transport()
    script = command("sh", "-c", f"{lines}\n{STUBBORN}")

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(transport.run, script, scope=scope)
        wait_until(lambda: len(sleepers(mark)) == len(DISGUISES))
        scope.cancel()
        assert isinstance(running.exception(), Cancelled)

    (proof,) = scope.ended
    names = [process.name for process in proof.found]
    assert names.count(f"sleep {mark}") >= len(DISGUISES)
    assert proof.survivors == ()
    assert sleepers(mark) == []


@pytest.mark.parametrize("tools", ["debian", "busybox", "bash"], indirect=True)
def test_name_that_echo_would_obey_is_only_shown(scope, tools):
    workload = subprocess.Popen(
        ["sh", "-c", "sleep 600; : \\c"], env={**os.environ, "TESTBED_TAG": scope.tag}
    )
    wait_until(lambda: len(carriers(scope.tag)) == 2)

    done = subprocess.run(
        [shutil.which("sh"), "-c", line_to_end(scope.tag)],
        env={"PATH": tools},
        capture_output=True,
        text=True,
        check=True,
    )
    workload.wait()

    names = {process.name for process in parse_ended("host-a", done.stdout).found}
    assert "sh -c sleep 600; : \\c" in names


def test_output_of_the_script_becomes_the_proof():
    output = (
        "Welcome to host-a!\n"
        "found 12 13\n"
        "names ==> /proc/12/cmdline <== sleep 600  ==> /proc/13/cmdline <== sh -c "
        "survivors 99 ==> /dev/null <== \n"
        "found 14\n"
        "names \n"
        "survivors 13\n"
    )

    assert parse_ended("host-a", output) == Ended(
        "host-a",
        (
            Process(12, "sleep 600"),
            Process(13, "sh -c survivors 99"),
            Process(14, ""),
        ),
        (Process(13, "sh -c survivors 99"),),
    )


@pytest.mark.parametrize("output", ["", "found 12\n", "found 12\nsurvivors 1"])
def test_script_that_did_not_finish_proves_nothing(output):
    with pytest.raises(ValueError, match="did not finish"):
        parse_ended("host-a", output)
