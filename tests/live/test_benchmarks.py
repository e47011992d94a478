"""The benchmarks run from a fresh clone, where no image of a guest was built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.stack import CHECKOUT

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server"),
]
SMALL = {
    "orchestrator": ("--guests", "4", "--hosts", "2"),
    "logs": ("--resources", "2", "--seconds", "2"),
    "load": ("--guests", "4", "--hosts", "2", "--repeat", "1"),
    "exec": (
        *("--targets", "2", "--repeat", "1", "--mib", "1", "--files", "3"),
        *("--only", "commands,copies,page"),
    ),
    "web": ("--seconds", "1", "--mib", "2"),
    "requests.cli": (
        *("--guests", "4", "--hosts", "2", "--repeat", "1", "--follow", "2"),
    ),
}
# Each starts a whole product; those of every day's suite stand for the others.
SLOW = ("logs", "web", "requests.cli")
TIMEOUT_S = 240


@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in SMALL]
)
def test_benchmark_runs_without_an_image_cache(name: str, tmp_path: Path) -> None:
    folders = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'script'}"}
    none = {"TESTBED_IMAGE_CACHE": str(tmp_path / "none")}

    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *SMALL[name]],
        env=os.environ | folders | none,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the run ended" not in ended.stdout
    assert "measured" in ended.stdout
