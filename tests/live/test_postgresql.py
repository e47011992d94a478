"""The web's tests pass on PostgreSQL too, on which production runs.

A private cluster in a folder of its own, on a unix socket, as the `postgres` user:
PostgreSQL refuses root. There the tests of the web run once more whose subject is what
databases do in their own way, in a process of their own, because the database is chosen
when Django starts. `database_tests.py` chooses them by their folder, their transactions
or their mark, so that it finds new ones.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.live.stack import CHECKOUT

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become postgres"),
]
TOOLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
START_TIMEOUT_S = 180
TESTS = ("tests/testbed",)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the user `postgres`, with a short path for the socket."""
    if not TOOLS:
        pytest.skip("not installed: postgresql")
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="testbed-pg-"))
    shutil.chown(folder, "postgres", "postgres")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def cluster(folder: Path) -> Iterator[str]:
    """The URL of an empty cluster that is thrown away."""
    who = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": folder}
    data, log = folder / "data", folder / "log"
    make = [TOOLS[-1] / "initdb", "--auth=trust", "--username=postgres", "--no-sync"]
    make += ["--encoding=UTF8", "--locale=C", f"--pgdata={data}"]
    subprocess.run(make, check=True, capture_output=True, **who)
    words = [
        TOOLS[-1] / "postgres",
        "-D",
        data,
        "-k",
        folder,
        "-c",
        "listen_addresses=",
    ]
    words += [word for setting in NOT_DURABLE for word in ("-c", setting)]
    with log.open("wb") as output:
        server = subprocess.Popen(words, stdout=output, stderr=output, **who)
    url = f"postgresql://postgres@{quote(str(folder), safe='')}/postgres"
    try:
        wait_until_it_answers(server, url, log)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # ends connections, then itself
        server.wait(180)


def wait_until_it_answers(
    server: "subprocess.Popen[bytes]", url: str, log: Path
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return


@pytest.mark.parametrize(
    "which", ["different", pytest.param("all", marks=pytest.mark.slow)]
)
def test_web_works_on_postgresql(cluster: str, which: str):
    mine = ("PYTEST_", "TESTBED_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(mine)}
    words = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "--reuse-db"]
    words += ["-p", "tests.live.database_tests", f"--database-tests={which}"]

    done = subprocess.run(
        [*words, "-p", "no:cacheprovider", *TESTS],
        env=environment | {"TESTBED_DATABASE_URL": cluster},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    with psycopg.connect(cluster.removesuffix("postgres") + "test_postgres") as there:
        (was_used,) = there.execute("SELECT to_regclass('testbed_run')").fetchone()
    assert was_used, "The tests ran on another database."
