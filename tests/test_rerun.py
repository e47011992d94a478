"""The end of script/test: a live test that failed gets one more chance, others none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parents[1] / "script/lab"
SUITE = """\
import pathlib
import pytest

@pytest.mark.live
def test_fails_at_first():
    flag = pathlib.Path(__file__).with_name("flag")
    flag.write_text(flag.read_text() + "x" if flag.exists() else "x")
    print("as it was")
    assert flag.read_text() != "x"

@pytest.mark.live
def test_always_fails():
    assert False

def test_unit():
    assert False

def test_ends_the_process():
    import os
    os._exit(1)
"""
RERUN = """
. "$0/common.sh"; . "$0/rerun.sh"
CHECKOUT=$1; shift
rerun_failed "$@" && status=0 || status=$?
tell_unsteady
((status == 0)) || tell_failed
exit "$status"
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    live:\n")
    (tmp_path / "failures").mkdir()
    return tmp_path


def test_live_test_that_passes_by_itself_makes_the_run_green_and_is_named(suite):
    run(suite, "test_fails_at_first")

    again = rerun(suite)

    assert again.returncode == 0, again.stdout
    last = again.stdout.splitlines()[-1]
    assert last.startswith("unsteady: test_it.py::test_fails_at_first  (first output: ")
    (kept,) = (suite / "var/unsteady").iterdir()
    assert "as it was" in kept.read_text()


def test_live_test_that_fails_twice_fails_the_run(suite):
    run(suite, "test_always_fails")

    again = rerun(suite)

    assert again.returncode == 1
    assert "unsteady" not in again.stdout


def test_unit_test_is_never_run_twice(suite):
    run(suite, "test_fails_at_first or test_unit")

    again = rerun(suite)

    assert again.returncode == 1
    assert (suite / "flag").read_text() == "x"


def test_process_that_ended_in_a_test_is_named_and_stays_failed(suite):
    """Later tests did not run, so no rerun makes that green."""
    run(suite, "test_fails_at_first or test_ends_the_process")

    again = rerun(suite)

    assert again.returncode == 1
    assert (suite / "flag").read_text() == "x", "nothing was run again"
    first, second = again.stdout.splitlines()
    assert first == "failed: test_it.py::test_fails_at_first"
    assert second.startswith("did not end")
    assert second.endswith("test_it.py::test_ends_the_process")


def test_run_that_failed_without_a_failed_test_stays_failed(suite):
    assert rerun(suite).returncode == 1


def run(suite: Path, chosen: str) -> None:
    words = ("-p", "live_report", "-k", chosen, str(suite))
    ended = subprocess.run(
        pytest_words(suite, *words), env=environment(suite), cwd=suite
    )
    assert ended.returncode == 1


def rerun(suite: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (
            "bash",
            "-euo",
            "pipefail",
            "-c",
            RERUN,
            str(LAB),
            str(suite),
            *pytest_words(suite),
        ),
        env=environment(suite),
        cwd=suite,
        capture_output=True,
        text=True,
    )


def pytest_words(suite: Path, *words: str) -> tuple[str, ...]:
    plain = ("-q", "-p", "no:cacheprovider", "-p", "no:django", "-c")
    return (sys.executable, "-m", "pytest", *plain, str(suite / "pytest.ini"), *words)


def environment(suite: Path) -> dict[str, str]:
    left_out = ("DJANGO_SETTINGS_MODULE", "PYTEST_ADDOPTS")
    kept = {k: v for k, v in os.environ.items() if k not in left_out}
    kept |= {"PYTHONPATH": str(LAB), "TESTBED_FAILURES": str(suite / "failures")}
    # The plugins of our own suite take most of the time of these small ones.
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
