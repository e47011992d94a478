"""The ending command in the shells and with the tools that machines really have."""

import os
import shutil
import subprocess

import pytest

from orchestration.transport.base import Ended, Process
from orchestration.transport.ending import end_line, parse_ended
from tests.orchestration.transport.conftest import carriers, wait_until
from tests.orchestration.transport.test_commands import STUBBORN
from tests.orchestration.transport.test_wrapper import SUDO

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
    busybox = shutil.which("busybox")
    if kind == "debian":
        folder.rmdir()
        return os.environ["PATH"]
    if busybox is None:
        pytest.skip("busybox is not installed")
    applets = ("sh", "sleep", "grep", "tr", "id", "env", "busybox")
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


def test_what_the_script_prints_becomes_the_proof():
    output = (
        "Welcome to host-a!\n"
        "found 12 sleep 600 \n"
        "found 13 sh -c survivors 99\n"
        "survivors 13\n"
    )

    assert parse_ended("host-a", output) == Ended(
        "host-a",
        (Process(12, "sleep 600"), Process(13, "sh -c survivors 99")),
        (Process(13, "sh -c survivors 99"),),
    )


@pytest.mark.parametrize("output", ["", "found 12 sleep 600\n"])
def test_script_that_did_not_finish_proves_nothing(output):
    with pytest.raises(ValueError, match="did not finish"):
        parse_ended("host-a", output)
