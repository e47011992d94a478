"""The whole product on two namespace hosts, for live tests and benchmarks.

Main is a namespace host too: worker and console gateway run on it, Redis listens on a unix socket
that both share, Daphne answers on loopback. Everything is below one directory and is
ended by its pid. Nothing here replaces a part of the product.
"""

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.live import migrated
from tests.live.client import Client
from tests.live.kept_shell import KeptShell
from tests.live.namespace_host import NamespaceHost, images, wire

CHECKOUT = Path(__file__).resolve().parents[2]
PASSWORD = "a password for tests only"
MIGRATE = ("migrate", "--verbosity", "0")
START_TIMEOUT_S = 180
STAND_IN_BYTES = 1024 * 1024
# Below what the kernel gives to whoever asks for any port: nobody takes it meanwhile.
PORTS = range(20_000, 32_000)
_ADD = """\
import json
from django.contrib.auth.models import User
from testbed.access.scopes import Scope
from testbed.access.tokens import make_token
made = [User.objects.{verb}(name, password={password!r}) for name in {names}]
print(json.dumps({{str(user): make_token(user, "tests", Scope, 1)[1] for user in made}}))
"""


class Stack:
    """Redis, web, worker; with two real hosts or any number of simulated ones."""

    def __init__(
        self,
        folder: Path,
        *,
        label: str,
        image_cache: Path,
        second_root: Path | None = None,
    ) -> None:
        self.folder = folder
        self.label = label
        folder.chmod(0o755)
        self.data = folder / "data"
        self.data.mkdir(mode=0o755)
        self.catalogue = folder / "catalogue"
        self._offer_images(image_cache)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.main = NamespaceHost(f"{label}-a", folder / "a")
        self.other = NamespaceHost(f"{label}-b", folder / "b", root=second_root)
        self.third = NamespaceHost(f"{label}-c", folder / "c")
        self.key = folder / "id"
        self._net = 1 + os.getpid() % 250
        # Of the users that were added, by name; each allows all that its user may.
        self.tokens: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # Words before a program's own, by process: setpriv and the like.
        self.prefixes: dict[str, list[str]] = {}
        # Modules that the worker imports besides its own.
        self.worker_modules: tuple[str, ...] = ()
        self.on_main = True
        self._shell: KeptShell | None = None
        self.environment = os.environ | {
            "TESTBED_DATA_DIR": str(self.data),
            "TESTBED_REDIS_URL": f"unix://{folder}/redis.sock",
            "TESTBED_DATABASE_URL": "sqlite:///db.sqlite3",
            "TESTBED_CATALOGUE": str(self.catalogue),
            # Each look starts some fifty programs on a host; no test is in a hurry.
            "TESTBED_OBSERVE_EVERY_S": "5",
            "TESTBED_SWEEP_EVERY_S": "2",
            # All tests share two users, each with one token.
            "TESTBED_USER_TESTBEDS": "500",
            "TESTBED_API_REQUESTS": "1000000",
            # Their guests are small and mostly idle.
            "TESTBED_VCPU_OVERCOMMIT": "64",
            "TESTBED_MEMORY_OVERCOMMIT": "8",
            "TESTBED_WORKER_PROCESSES": "6",
            "DJANGO_SETTINGS_MODULE": "testbed.settings",
            "PYTHONPATH": str(CHECKOUT),  # a namespace host starts in its own /
            "PYTHONUNBUFFERED": "1",
        }

    def start_real(self) -> None:
        """Start two namespace hosts and the product, and add the hosts to it."""
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key]
        subprocess.run(words, check=True)
        wire(self.main, "w0", self.other)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._start_host, (self.main, self.other), (1, 2)))
        self.start_redis()
        self.main.wait_until_it_reaches(self.other)
        self._make_database(
            ("add_host", "main", "--main", "--address", self._address(1)),
            self._adding("host-b", self.other, 2),
        )
        self.start_services()

    @contextmanager
    def third_host(self) -> Iterator[None]:
        """Add `host-c` at main's switch, and remove it afterwards with all it holds."""
        with self.third_machine():
            self._add_remote("host-c", self.third, 3)
            yield

    @contextmanager
    def third_machine(self, root: Path | None = None) -> Iterator[NamespaceHost]:
        """Start a machine at main's switch; `host-c` is removed with it."""
        self.third.root = root
        try:
            wire(self.main, "w1", self.third)
            self.main.run("ovs-vsctl", "add-port", "br-phy", "w1")
            self._start_host(self.third, 3)
            self.main.wait_until_it_reaches(self.third)
            yield self.third
        finally:
            self.shell(
                "from testbed.models import Host; "
                "Host.objects.filter(name='host-c').delete()"
            )
            self.third.stop()
            self.main.run("ovs-vsctl", "--if-exists", "del-port", "br-phy", "w1")
            # A namespace's end takes its links along, but at any time later.
            self.main.run("ip", "link", "delete", "w1", check=False)

    def _start_host(self, host: NamespaceHost, number: int) -> None:
        public = self.key.with_suffix(".pub").read_text()
        (host.folder / "authorized_keys").write_text(public)
        host.start(f"{self._address(number)}/24", "w0")

    def _address(self, number: int) -> str:
        return f"172.30.{self._net}.{number}"

    def _add_remote(self, name: str, host: NamespaceHost, number: int) -> None:
        self.main.wait_until_it_reaches(host)
        self.manage(*self._adding(name, host, number))

    def _adding(self, name: str, host: NamespaceHost, number: int) -> tuple[str, ...]:
        key_of_host = str(host.folder / "ssh_host_ed25519_key.pub")
        words = ("--address", self._address(number), "--identity-file", str(self.key))
        return ("add_host", name, *words, "--host-key-file", key_of_host)

    def _make_database(self, *added: tuple[str, ...]) -> None:
        """Migrate, and run the commands that add the hosts."""
        database = self.data / "db.sqlite3"
        if not migrated.was_copied(database):
            self.manage(*MIGRATE)
            migrated.keep(database)
        self._manage_all(*added)

    def _manage_all(self, *commands: tuple[str, ...]) -> None:
        """Run commands of manage.py in one process: each start takes a second."""
        self.shell(
            "from django.core.management import call_command\n"
            f"for words in {commands}: call_command(*words)"
        )

    def start_simulated(self, hosts: int) -> None:
        """Start the product with hosts that only rehearse; needs no root.

        It has no console gateway: simulated guests have no consoles.
        """
        self.on_main = False
        self.offer_stand_in()
        self.start_redis()
        added = [("add_host", "main", "--simulated", "--main")]
        added += [("add_host", f"host-{n:02}", "--simulated") for n in range(1, hosts)]
        self._make_database(*added)
        self.start_worker()
        self.start_web()

    def start_services(self) -> None:
        """Start the worker, the console gateway and the web server."""
        self.start_worker()
        self.start_consoles()
        self.start_web()

    def start_redis(self) -> None:
        """Start Redis on its unix socket; it keeps nothing on disk."""
        place = self.folder / "redis.sock"
        words = ["redis-server", "--port", "0", "--unixsocket", str(place)]
        self._start("redis", [*words, "--save", "", "--dir", str(self.folder)])
        self._wait_for("redis", lambda: _listens(place))

    def start_worker(self) -> None:
        """Start one Celery worker with its beat."""
        words = [*self.prefixes.get("worker", ()), sys.executable, "-m", "celery"]
        words += ["-A", "testbed", "worker", "-B"]
        words += ["--loglevel", "INFO"]
        for module in self.worker_modules:
            words += ["--include", module]
        before = self.log("worker").count(" ready.")
        self._start("worker", self.main.argv(*words) if self.on_main else words)
        self._wait_for("worker", lambda: self.log("worker").count(" ready.") > before)

    def start_consoles(self) -> None:
        """Start the console gateway and wait until it listens."""
        words = [*self.prefixes.get("consoles", ()), sys.executable]
        words += [str(CHECKOUT / "manage.py"), "console_gateway"]
        before = self.log("consoles").count(" listening on ")
        self._start("consoles", self.main.argv(*words) if self.on_main else words)
        self._wait_for(
            "consoles", lambda: self.log("consoles").count(" listening on ") > before
        )

    def start_web(self) -> None:
        """Start Daphne and wait until it answers."""
        words = [*self.prefixes.get("web", ()), sys.executable, "-m", "daphne"]
        words += ["-b", "127.0.0.1"]
        words += ["--websocket_connect_timeout", "60"]
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
        command = [*self.prefixes.get(words[0], ()), sys.executable]
        command += [str(CHECKOUT / "manage.py"), *words]
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
        if self._shell is None:
            words = self.main.argv() if self.on_main else []
            self._shell = KeptShell(
                words, environment=self.environment, log=self.folder / "shell.log"
            )
        return self._shell.run(code)

    def add_user(self, *names: str, is_admin: bool = False) -> None:
        """Create users with the password PASSWORD, each with an API token."""
        verb = "create_superuser" if is_admin else "create_user"
        made = self.shell(_ADD.format(names=names, verb=verb, password=PASSWORD))
        self.tokens |= json.loads(made)

    def client(self, name: str) -> Client:
        """Return the client of a user that was added."""
        return Client(self.url, name, PASSWORD, self.tokens[name])

    def stop(self, name: str, *, with_signal: int = signal.SIGTERM) -> None:
        """End one process group that was started here."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        _signal_group(process, with_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        # Its children may outlive it.
        _signal_group(process, signal.SIGKILL)
        process.wait(5)

    def stop_all(self) -> None:
        """End everything that was started."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        for name in reversed(list(self.processes)):
            self.stop(name)
        if self.on_main:
            for host in (self.main, self.other, self.third):
                host.stop()

    def _offer_images(self, cache: Path) -> None:
        for file in cache.glob("*.json"):
            entry = json.loads(file.read_text())
            words = {key: entry[key] for key in ("sha256", "format")}
            self.add_image(entry["name"], cache / entry["path"], **words)

    def offer_stand_in(self) -> None:
        """Offer an empty disk as `test_guest` where no image was built.

        Nothing on a simulated host reads an image.
        """
        if (self.catalogue / "test_guest.json").exists():
            return
        disk = self.folder / "test_guest.raw"
        disk.write_bytes(bytes(STAND_IN_BYTES))
        digest = hashlib.sha256(disk.read_bytes()).hexdigest()
        self.add_image("test_guest", disk, sha256=digest, format="raw")

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
def real_stack(
    folder: Path, *, label: str, second_root: Path | None = None, **settings: str
) -> Iterator[Stack]:
    """Give a running product on two real hosts, and end all of it afterwards.

    The second host has the programs below `second_root`, or this machine's.
    """
    stack = Stack(
        folder,
        label=f"{label}{secrets.token_hex(2)}",
        image_cache=images(),
        second_root=second_root,
    )
    stack.environment |= settings
    try:
        stack.start_real()
        yield stack
    finally:
        stack.stop_all()


@contextmanager
def simulated_stack(
    folder: Path,
    *,
    hosts: int = 2,
    worker_modules: tuple[str, ...] = (),
    **settings: str,
) -> Iterator[Stack]:
    """Give a running product on simulated hosts."""
    stack = Stack(folder, label="sim", image_cache=images())
    stack.worker_modules = worker_modules
    stack.environment |= settings
    try:
        stack.start_simulated(hosts)
        yield stack
    finally:
        stack.stop_all()


def free_port() -> int:
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port := secrets.choice(PORTS)))
            return port


def _listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(place)) == 0


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
