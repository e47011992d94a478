"""Redis, a Celery worker and Daphne as real processes, for tests that need them.

    services = Services(tmp_path)      one folder: database, sockets, logs
    services.migrate()
    redis, worker, web = services.start_redis(), services.start_worker(), …
    services.shell("…")                Python inside the product's Django
    services.stop()                    ends what was started, by pid

Everything listens on a unix socket in the folder or on a free loopback port.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20


class Services:
    """The product's processes below one folder."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.redis_socket = folder / "redis.sock"
        self.port = _free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "testbed.settings",
            "TESTBED_DATA_DIR": str(folder / "data"),
            "TESTBED_REDIS_URL": f"unix://{self.redis_socket}",
            "TESTBED_WORKER_PROCESSES": "6",
            "PYTHONPATH": str(CHECKOUT),
            **environment,
        }

    @property
    def url(self) -> str:
        """Where Daphne answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The product's data folder."""
        return self.folder / "data"

    def migrate(self) -> None:
        """Make the database."""
        self.manage("migrate", "--verbosity=0")

    def manage(self, *words: str) -> str:
        """Run a management command; return what it prints."""
        return self._python("manage.py", *words)

    def shell(self, code: str) -> str:
        """Run Python with Django set up; return what it prints."""
        return self._python("-c", f"import django; django.setup()\n{code}").strip()

    def start_redis(self) -> "subprocess.Popen[bytes]":
        """Start Redis on its unix socket, keeping its queue on disk."""
        process = self._start(
            "redis",
            *("redis-server", "--port", "0", "--unixsocket", str(self.redis_socket)),
            *("--dir", str(self.folder), "--appendonly", "yes", "--save", ""),
        )
        self.wait_until(lambda: _answers(self.redis_socket), "Redis answers")
        return process

    def start_worker(self, *options: str) -> "subprocess.Popen[bytes]":
        """Start a Celery worker with its beat; returns when it is ready."""
        name = f"worker-{len(self.processes)}"
        process = self._start(
            name,
            *(sys.executable, "-m", "celery", "-A", "testbed", "worker", "-B"),
            *("--loglevel", "INFO", *options),
        )
        log = self.folder / f"{name}.log"
        self.wait_until(lambda: " ready." in log.read_text(), "the worker is ready")
        return process

    def start_daphne(self) -> "subprocess.Popen[bytes]":
        """Start the web server on its loopback port."""
        process = self._start(
            "daphne",
            *(sys.executable, "-m", "daphne", "-b", "127.0.0.1"),
            *("-p", str(self.port), "testbed.asgi:application"),
        )
        self.wait_until(lambda: _answers(("127.0.0.1", self.port)), "Daphne answers")
        return process

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """Kill a process and its children with SIGKILL, as a power cut would."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.processes.remove(process)

    def stop(self) -> None:
        """End everything that is still running, the last started first."""
        while self.processes:
            process = self.processes.pop()
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def wait_until(
        self, is_so: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S
    ) -> None:
        """Wait for something, and show the logs when it does not come."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"not so: {what}\n{self.logs()}")
            time.sleep(0.05)

    def logs(self) -> str:
        """Return the end of each process's log."""
        paths = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {p.name}\n{p.read_text()[-4000:]}" for p in paths)

    def _start(self, name: str, *argv: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def _python(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout


def _answers(address: Path | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        place = str(address) if isinstance(address, Path) else address
        return probe.connect_ex(place) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
