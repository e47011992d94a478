"""A PostgreSQL cluster of its own, which is thrown away.

In a folder of its own, on a unix socket, as the `postgres` user: PostgreSQL refuses
root. Nothing is made durable, since nothing outlives it.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

TOOLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# Tables of few rows, of which no statistics are known: to compile a query takes longer
# than to run it.
SMALL = ("jit=off",)
START_TIMEOUT_S = 180


@contextmanager
def cluster() -> Iterator[str]:
    """Give the URL of an empty cluster. Needs root, and one of `TOOLS`."""
    # A short path: a socket's has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="testbed-pg-"))
    try:
        shutil.chown(folder, "postgres", "postgres")
        with _server(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    who = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": folder}
    data, log = folder / "data", folder / "log"
    make = [TOOLS[-1] / "initdb", "--auth=trust", "--username=postgres", "--no-sync"]
    make += ["--encoding=UTF8", "--locale=C", f"--pgdata={data}"]
    subprocess.run(make, check=True, capture_output=True, **who)
    words = [TOOLS[-1] / "postgres", "-D", data, "-k", folder]
    for setting in ("listen_addresses=", *NOT_DURABLE, *SMALL):
        words += ["-c", setting]
    with log.open("wb") as output:
        server = subprocess.Popen(words, stdout=output, stderr=output, **who)
    url = f"postgresql://postgres@{quote(str(folder), safe='')}/postgres"
    try:
        _wait_until_it_answers(server, url, log)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # ends connections, then itself
        server.wait(180)


def _wait_until_it_answers(
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
