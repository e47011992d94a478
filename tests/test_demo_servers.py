"""A running `script/demo` beside another one, such as `script/demo --clean`.

Sleeping processes stand in for its servers; the real ones run in `tests/live/test_demo.py`.
"""

import os
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
# Each is named as a program of the environment: no other is ever stopped.
RUNNING = """
. "$0/common.sh"; . "$0/demo.sh"
serve() { (exec -a "$VENV/bin/$1" sleep 60) > /dev/null 2>&1 & echo $! > "$STATE/$1.pid"; }
mkdir -p "$STATE"
for name in worker consoles daphne; do serve "$name"; done
note_started
first=${STARTED[worker]}
"""


def run(script: str, data: Path) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-euo", "pipefail", "-c", RUNNING + script]
    return subprocess.run(
        [*words, str(CHECKOUT / "script/lab")],
        env=os.environ | {"TESTBED_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_demo_says_that_another_one_ended_it(tmp_path: Path) -> None:
    done = run("stop_product; wait_for_the_end", tmp_path)

    assert done.returncode == 1
    assert "Error: Another script/demo ended this one." in done.stderr
    assert "No such file" not in done.stderr


def test_demo_leaves_the_servers_of_another_one(tmp_path: Path) -> None:
    script = """
    stop_recorded worker; serve worker; other=$(recorded_pid worker)
    stop_own_servers
    if kill -0 "$other"; then echo "the other one runs"; fi
    kill "$other"
    is_running daphne || echo "its own are stopped"
    """

    done = run(script, tmp_path)

    assert done.stdout.splitlines() == ["the other one runs", "its own are stopped"]


def test_demo_says_which_server_ended_by_itself(tmp_path: Path) -> None:
    done = run('kill "$first"; wait "$first" || true; wait_for_the_end', tmp_path)

    assert "Error: The worker ended by itself." in done.stderr
