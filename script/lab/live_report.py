"""A pytest plugin that reports which live parts ran, and which did not and why.

Loaded by script/test. A live part is a test file with a test marked live or browser.
With CI=true a live test that skips itself fails: there a machine that cannot run
them is a broken machine. Each test states its own requirements.

In the folder TESTBED_FAILURES each failed test leaves a file for rerun.sh, named
live-… or unit-…: its name on the first line, then its output. running-… has the test
that its process is in: it stays when the process ends there, as after a time limit.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

FAILURES = os.environ.get("TESTBED_FAILURES", "")
STRICT = os.environ.get("CI") == "true"
LIVE_MARKS = ("live", "browser")
RUNNING = Path(FAILURES, f"running-{os.getpid()}")

ran: Counter[str] = Counter()
seconds: dict[str, float] = defaultdict(float)
skipped: dict[tuple[str, str], int] = defaultdict(int)


def reason_of(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def pytest_runtest_logstart(nodeid: str) -> None:
    if FAILURES:
        RUNNING.write_text(f"{nodeid}\n")


def pytest_sessionfinish() -> None:
    RUNNING.unlink(missing_ok=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    is_live = any(item.get_closest_marker(mark) for mark in LIVE_MARKS)
    if not is_live:
        keep_failure(report, "unit")
        return report
    part = item.nodeid.split("::")[0]
    seconds[part] += report.duration
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = reason_of(report)
        skipped[part, reason] += 1
        if STRICT:
            report.outcome = "failed"
            report.longrepr = f"A live test was skipped in CI: {reason}"
    elif report.when == "call":
        ran[part] += 1
    keep_failure(report, "live")
    return report


def keep_failure(report: pytest.TestReport, kind: str) -> None:
    if not (FAILURES and report.failed):
        return
    name = "".join(c if c.isalnum() else "-" for c in report.nodeid)[-150:]
    sections = (f"\n--- {title}\n{text}" for title, text in report.sections)
    with Path(FAILURES, f"{kind}-{name}").open("a") as file:
        file.write("\n".join((report.nodeid, report.longreprtext, *sections, "")))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    write = terminalreporter.write_line
    terminalreporter.section("live parts")
    for part, count in sorted(ran.items()):
        write(f"ran      {part}: {count} tests, {seconds[part]:.0f} s")
    for (part, reason), count in sorted(skipped.items()):
        write(f"skipped  {part}: {count} tests, {reason}")
    if not ran and not skipped:
        write("none were selected")
