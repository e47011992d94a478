"""The web's tests pass on PostgreSQL too, on which production runs.

The tests of the web run once more there whose subject is what databases do in their own
way, in a process of their own, because the database is chosen when Django starts.
`database_tests.py` chooses them by their folder, their transactions or their mark, so
that it finds new ones.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests.live.postgresql import TOOLS, cluster
from tests.live.stack import CHECKOUT

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(2700),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become postgres"),
]
TESTS = ("tests/testbed",)


@pytest.fixture(name="cluster")
def _cluster() -> Iterator[str]:
    """The URL of an empty cluster that is thrown away."""
    if not TOOLS:
        pytest.skip("not installed: postgresql")
    with cluster() as url:
        yield url


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
