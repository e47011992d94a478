"""The whole product on two namespace hosts, for live tests and benchmarks.

Main is a namespace host too: the worker runs on it, Redis listens on a unix socket
that both share, Daphne answers on loopback. Everything is below one directory and is
ended by its pid. Nothing here replaces a part of the product.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from testbed.client import Client

CHECKOUT = Path(__file__).resolve().parents[2]
NAMESPACE_HOST = CHECKOUT / "script/lab/namespace-host"
PASSWORD = "a password for tests only"
START_TIMEOUT_S = 60


class NamespaceHost:
    """One testbed host made of namespaces."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, address: str, wire: str) -> None:
        """Start its daemons; returns when they answer."""
        self._call("start", "--address", address, "--wire", wire)

    def stop(self) -> None:
        """End everything on it."""
        self._call("stop")

    def cut(self) -> None:
        """Pull its cable."""
        subprocess.run([NAMESPACE_HOST, "link", self.name, "down"], check=True)

    def mend(self) -> None:
        """Plug its cable in again."""
        subprocess.run([NAMESPACE_HOST, "link", self.name, "up"], check=True)

    def restart(self, daemon: str) -> None:
        """Restart libvirtd, or sshd with its sessions; returns when it answers."""
        subprocess.run(
            [NAMESPACE_HOST, "restart", self.name, str(self.folder), daemon], check=True
        )

    def argv(self, *command: str) -> list[str]:
        """Return the words that run a command on this host."""
        return [str(NAMESPACE_HOST), "run", self.name, str(self.folder), *command]

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command on it and return its output."""
        done = subprocess.run(
            self.argv(*command), check=check, capture_output=True, text=True
        )
        return done.stdout

    def _call(self, verb: str, *words: str) -> None:
        subprocess.run(
            [NAMESPACE_HOST, verb, self.name, str(self.folder), *words],
            check=True,
            stdout=subprocess.DEVNULL,
        )


class Stack:
    """Redis, web, worker; with two real hosts or any number of simulated ones."""

    def __init__(self, folder: Path, *, label: str, image_cache: Path) -> None:
        self.folder = folder
        self.label = label
        folder.chmod(0o755)
        self.data = folder / "data"
        self.data.mkdir(mode=0o755)
        self.catalogue = folder / "catalogue"
        self._offer_images(image_cache)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.main = NamespaceHost(f"{label}-a", folder / "a")
        self.other = NamespaceHost(f"{label}-b", folder / "b")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.on_main = True
        self.environment = os.environ | {
            "TESTBED_DATA_DIR": str(self.data),
            "TESTBED_REDIS_URL": f"unix://{folder}/redis.sock",
            "TESTBED_DATABASE_URL": "sqlite:///db.sqlite3",
            "TESTBED_CATALOGUE": str(self.catalogue),
            "TESTBED_OBSERVE_EVERY_S": "2",
            "TESTBED_SWEEP_EVERY_S": "2",
            "TESTBED_WORKER_PROCESSES": "6",
            "DJANGO_SETTINGS_MODULE": "testbed.settings",
            "PYTHONPATH": str(CHECKOUT),  # a namespace host starts in its own /
            "PYTHONUNBUFFERED": "1",
        }

    def start_real(self) -> None:
        """Start two namespace hosts and the product, and add the hosts to it."""
        key = self.folder / "id"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True
        )
        for host in (self.main, self.other):
            public = key.with_suffix(".pub").read_text()
            (host.folder / "authorized_keys").write_text(public)
        subprocess.run(
            [NAMESPACE_HOST, "wire", self.main.name, "w0", self.other.name, "w0"],
            check=True,
        )
        net = 1 + os.getpid() % 250
        self.main.start(f"172.30.{net}.1/24", "w0")
        self.other.start(f"172.30.{net}.2/24", "w0")
        self._prepare()
        self.manage("add_host", "main", "--main", "--address", f"172.30.{net}.1")
        self.manage(
            "add_host",
            "host-b",
            *("--address", f"172.30.{net}.2", "--identity-file", str(key)),
            "--host-key-file",
            str(self.other.folder / "ssh_host_ed25519_key.pub"),
        )
        self.start_services()

    def start_simulated(self, hosts: int) -> None:
        """Start the product with hosts that only rehearse; needs no root."""
        self.on_main = False
        self._prepare()
        for number in range(hosts):
            name = "main" if number == 0 else f"host-{number:02}"
            main = ["--main"] if number == 0 else []
            self.manage("add_host", name, "--simulated", *main)
        self.start_services()

    def start_services(self) -> None:
        """Start the worker and the web server."""
        self.start_worker()
        self.start_web()

    def start_redis(self) -> None:
        """Start Redis on its unix socket; it keeps nothing on disk."""
        place = self.folder / "redis.sock"
        words = ["redis-server", "--port", "0", "--unixsocket", str(place)]
        self._start("redis", [*words, "--save", "", "--dir", str(self.folder)])
        self._wait_for("redis", lambda: _listens(place))

    def start_worker(self) -> None:
        """Start one Celery worker with its beat."""
        words = [sys.executable, "-m", "celery", "-A", "testbed", "worker", "-B"]
        words += ["--schedule", str(self.folder / "beat")]
        words += ["--loglevel", "INFO"]
        before = self.log("worker").count(" ready.")
        self._start("worker", self.main.argv(*words) if self.on_main else words)
        self._wait_for("worker", lambda: self.log("worker").count(" ready.") > before)

    def start_web(self) -> None:
        """Start Daphne and wait until it answers."""
        words = [sys.executable, "-m", "daphne", "-b", "127.0.0.1"]
        words += ["-p", str(self.port), "testbed.asgi:application"]
        self._start("web", words)
        self._wait_for("web", self._answers)

    def _wait_for(self, name: str, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_there():
            if time.monotonic() > deadline or self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} did not start: {self.log(name)[-4000:]}")
            time.sleep(0.1)

    def add_image(self, name: str, path: Path, **entry: str) -> None:
        """Offer a local file as an image; `entry` has sha256 and format."""
        self.catalogue.mkdir(exist_ok=True)
        found = {"name": name, "path": str(path.resolve())} | entry
        (self.catalogue / f"{name}.json").write_text(json.dumps(found))

    def log(self, name: str) -> str:
        """Return what a process printed so far."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def manage(self, *words: str) -> str:
        """Run manage.py where main's daemons are."""
        command = [sys.executable, str(CHECKOUT / "manage.py"), *words]
        done = subprocess.run(
            self.main.argv(*command) if self.on_main else command,
            env=self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def shell(self, code: str) -> str:
        """Run Python code inside the product, as `manage.py shell` does."""
        return self.manage("shell", "-v", "0", "-c", code)

    def add_user(self, name: str, *, is_admin: bool = False) -> None:
        """Create a user with the password PASSWORD."""
        verb = "create_superuser" if is_admin else "create_user"
        self.shell(
            "from django.contrib.auth.models import User; "
            f"User.objects.{verb}({name!r}, password={PASSWORD!r})"
        )

    def client(self, name: str) -> Client:
        """Sign a user in."""
        client = Client(self.url)
        client.sign_in(name, PASSWORD)
        return client

    def stop(self, name: str, *, with_signal: int = signal.SIGTERM) -> None:
        """End one process group that was started here."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        _signal_group(process, with_signal)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait(5)

    def stop_all(self) -> None:
        """End everything that was started."""
        for name in reversed(list(self.processes)):
            self.stop(name)
        if self.on_main:
            self.main.stop()
            self.other.stop()

    def _prepare(self) -> None:
        self.start_redis()
        self.manage("migrate", "--verbosity", "0")

    def _offer_images(self, cache: Path) -> None:
        for file in cache.glob("*.json"):
            entry = json.loads(file.read_text())
            words = {key: entry[key] for key in ("sha256", "format")}
            self.add_image(entry["name"], cache / entry["path"], **words)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/login/").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _start(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                words,
                env=self.environment,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@contextmanager
def real_stack(folder: Path, *, label: str) -> Iterator[Stack]:
    """Give a running product on two real hosts, and end all of it afterwards."""
    stack = Stack(folder, label=f"{label}{secrets.token_hex(2)}", image_cache=images())
    try:
        stack.start_real()
        yield stack
    finally:
        stack.stop_all()


@contextmanager
def simulated_stack(folder: Path, *, hosts: int = 2) -> Iterator[Stack]:
    """Give a running product on simulated hosts."""
    stack = Stack(folder, label="sim", image_cache=images())
    try:
        stack.start_simulated(hosts)
        yield stack
    finally:
        stack.stop_all()


def images() -> Path:
    """Return the folder with the test guest image."""
    cache = os.environ.get("TESTBED_IMAGE_CACHE")
    return Path(cache) if cache else CHECKOUT / "var/cache/images"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(place)) == 0


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
