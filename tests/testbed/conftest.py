"""Users, simulated hosts, a small testbed, and doors to Celery that open into the test.

`doors` replaces the two ways to the workers (sending a batch, signalling one) and the
engine; nothing else is faked: services, tasks, recorder and consumers are real.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client, TransactionTestCase
from django.utils import timezone

from orchestration.engine import ResourceResult, Work
from orchestration.events import (
    LogLine,
    Sink,
    Status,
    Stream,
    TaskFinished,
    TaskStarted,
)
from orchestration.hosts import Hosts
from orchestration.plan.model import Command, Options
from orchestration.transport.base import Scope
from testbed import worker
from testbed.celery import ADOPT, RUN_BATCH, app
from testbed.models import Host, Reservation, Run, Share, Testbed
from testbed.models.expiry import database_now
from testbed.runs.batches import run_batch
from testbed.runs.creation import create_run
from tests.testbed.emptying import empty_tables
from tests.testbed.images.image_hosts import Machines, stand_in
from tests.testbed.migrating import migrate_to_newest
from tests.testbed.preparing import prepare

MakeRun = Callable[..., Run]
MakeTestbed = Callable[..., Testbed]
Reserved = Callable[..., Reservation]
HOUR = timedelta(hours=1)
ShareWith = Callable[..., User]

YAML = """\
machines:
  - name: web
    interfaces: [{bridge: lan}]
    libvirt:
      cpus: 1
      memory_mb: 256
      libvirt_type:
        cloud_image: {name: ubuntu_22_04}
  - name: db
    interfaces: [{bridge: far}]
    libvirt:
      cpus: 1
      memory_mb: 256
      libvirt_type:
        cloud_image: {name: ubuntu_22_04}
network:
  bridges: [{name: lan}, {name: far}]
  bridge_connections: {lan: far}
  external_bridge: lan
"""


@pytest.fixture(autouse=True, scope="session")
def quick_emptying() -> Iterator[None]:
    """Let tests with transactions of their own leave an empty database quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables)
        yield


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("olive", password="olive-pass")


@pytest.fixture
def member(db: None) -> User:
    """A colleague of the lab who owns nothing here."""
    return User.objects.create_user("mark", password="mark-pass")


@pytest.fixture
def stranger(db: None) -> User:
    return User.objects.create_user("sam", password="sam-pass")


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("ada", password="ada-pass")


@pytest.fixture
def share(db: None) -> ShareWith:
    """Share a testbed with a new user of a role's name: `share(testbed, "viewer")`."""

    def make(testbed: Testbed, role: str, *, by_group: bool = False) -> User:
        user = User.objects.create_user(f"a-{role}", password="share-pass")
        group = Group.objects.create(name=f"group of {role}") if by_group else None
        if group:
            user.groups.add(group)
        Share.objects.create(
            testbed=testbed,
            user=None if group else user,
            group=group,
            role=role,
            given_by=testbed.owner,
            given_at=timezone.now(),
        )
        return user

    return make


@pytest.fixture
def hosts(db: None) -> tuple[Host, Host]:
    """Two simulated hosts; the first is main."""
    main = Host.objects.create(
        name="main", kind="simulated", is_main=True, cpus=8, memory_mib=16384
    )
    other = Host.objects.create(
        name="host-b",
        kind="simulated",
        address="192.0.2.2",
        tunnel_address="192.0.2.2",
        cpus=8,
        memory_mib=16384,
    )
    return main, other


@pytest.fixture
def testbed(
    owner: User, hosts: tuple[Host, Host], settings: object, tmp_path: object
) -> Testbed:
    """Two guests on two simulated hosts, owned by `owner`, never up."""
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    settings.RUNTIME_DIR = tmp_path / "runtime"
    found = Testbed.objects.create(owner=owner, slug="lab", number=7)
    found.project.create()
    found.project.yaml.write_text(YAML)
    return found


@pytest.fixture
def make(owner: User, testbed: Testbed) -> MakeTestbed:
    """Make another testbed: `make("second")`, of a user with `user=member`."""

    def made(
        slug: str, yaml: str = YAML, user: User = owner, **fields: object
    ) -> Testbed:
        number = 10 + Testbed.objects.count()
        found = Testbed.objects.create(owner=user, slug=slug, number=number, **fields)
        found.project.create()
        found.project.yaml.write_text(yaml)
        return found

    return made


@pytest.fixture
def reserved(db: None) -> Reserved:
    """Reserve from some hours from now on: `reserved(user, "host-b", vcpus=2)`."""

    def make(
        holder: User | Group,
        host: str,
        *,
        vcpus: int = 1,
        memory_mib: int = 1024,
        begin: float = -1,
        hours: float = 3,
        **fields: object,
    ) -> Reservation:
        now = database_now().replace(second=0, microsecond=0)
        is_group = isinstance(holder, Group)
        return Reservation.objects.create(
            host=Host.objects.get(name=host),
            host_name=host,
            vcpus=vcpus,
            memory_mib=memory_mib,
            begins_at=now + begin * HOUR,
            ends_at=now + (begin + hours) * HOUR,
            user=None if is_group else holder,
            group=holder if is_group else None,
            holder_name=f"group {holder}" if is_group else str(holder),
            made_by="ada",
            made_at=now,
            **fields,
        )

    return make


@pytest.fixture
def generated(testbed: Testbed) -> Testbed:
    """The testbed with a state, and nothing of it on any host."""
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    return testbed


@pytest.fixture
def down(generated: Testbed) -> Testbed:
    """The testbed, whose guests are off."""
    generated.condition = Testbed.Condition.DOWN
    generated.save()
    return generated


@pytest.fixture
def image_store(settings: object, tmp_path: Path, doors: "Doors") -> None:
    """An empty folder of images on main, and no messages to workers."""
    settings.IMAGES_DIR = tmp_path / "images"
    settings.LOCAL_CATALOGUE = settings.IMAGES_DIR / "local.json"
    settings.IMAGES_DIR.mkdir()


@pytest.fixture
def as_postgresql(db: None) -> Iterator[None]:
    """Refuse texts that PostgreSQL does not take; SQLite stores them."""

    def execute(run: Callable[..., object], sql: str, params: object, *rest: object):
        for value in params or ():
            if isinstance(value, str) and ("\0" in value or "\\u0000" in value):
                raise ValueError("PostgreSQL's texts and JSON have no NUL.")
        return run(sql, params, *rest)

    with connection.execute_wrapper(execute):
        yield


@pytest.fixture
def kept(testbed: Testbed, settings: object) -> Iterator[Hosts]:
    """The simulated hosts, open as long as the test runs."""
    hosts = Hosts(settings.RUNTIME_DIR)
    yield hosts
    hosts.close()


@pytest.fixture
def machines(
    db: None, settings: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machines]:
    """Two hosts with folders of images, which the tasks reach."""
    machines = Machines(tmp_path)
    machines.add_rows(settings)
    stand_in(machines, monkeypatch)
    yield machines
    machines.close()


@pytest.fixture
def browser(client: Client, owner: User) -> Client:
    """The owner's browser."""
    client.force_login(owner)
    return client


@pytest.fixture
def page(client: Client, admin: User) -> Client:
    """The browser of an admin."""
    client.force_login(admin)
    return client


@dataclass
class FakeEngine:
    """Do every task at once, except for what a test says by instruction or host.

    `fails` holds resource names; `holds` keeps a host's batch until `release` or a
    cancel, as a command would; `began` counts the batches that were held.
    """

    fails: set[str] = field(default_factory=set)
    holds: set[str] = field(default_factory=set)
    lines: int = 1
    worked: list[tuple[str, str]] = field(default_factory=list)
    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    release: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def run(
        self, work: Work, *, scope: Scope, sink: Sink
    ) -> tuple[ResourceResult, ...]:
        if self.error is not None:
            raise self.error
        self.worked.append((work.instruction.kind, work.host))
        resources = work.instruction.resources
        for resource in resources:
            sink(TaskStarted(work.instruction.index, resource.name, resource.host))
        if {work.host, work.instruction.kind} & self.holds:
            self.began.release()
            while not self.release.is_set() and not scope.stop.wait(0.01):
                pass
        results = []
        for resource in resources:
            place = (work.instruction.index, resource.name, resource.host)
            for number in range(self.lines):
                sink(LogLine(*place, Stream.STDOUT, f"line {number}"))
            status, message = Status.DONE, ""
            if scope.stop.is_set():
                status, message = Status.CANCELLED, "Cancelled."
            elif resource.name in self.fails:
                status, message = Status.FAILED, f"{resource.name} does not work."
            sink(TaskFinished(*place, status, message, seconds=0.5))
            results.append(ResourceResult(place[1], place[2], status, message))
        return tuple(results)


@dataclass
class Doors:
    """The messages to Celery, and the engine that the batches get."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    sent: list[tuple[int, str]] = field(default_factory=list)
    signalled: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    adopted: list[int] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    is_automatic: bool = False
    broken: Exception | None = None

    def send(
        self, name: str, args: Sequence[int] = (), task_id: str = "", **options: object
    ) -> None:
        if self.broken is not None:
            raise self.broken
        if name == ADOPT:
            self.adopted.append(args[0])
        if name != RUN_BATCH:
            return
        self.sent.append((args[0], task_id))
        if self.is_automatic:
            self.start(args[0])

    def start(self, batch_id: int) -> threading.Thread:
        """Run a batch in a thread, as a worker would."""
        thread = threading.Thread(target=self._run, args=(batch_id,))
        thread.start()
        # Not before: whoever joins may find it at once.
        self.threads.append(thread)
        return thread

    def run_sent(self) -> int:
        """Run what was sent so far, one after the other; return how many it were."""
        batches, self.sent = self.sent, []
        for batch_id, _ in batches:
            run_batch(batch_id)
        return len(batches)

    def signal(self, ids: list[str], *, terminate: bool, signal: str) -> None:
        if self.broken is not None:
            raise self.broken
        assert terminate
        self.signalled.append((tuple(ids), signal))

    def join(self) -> None:
        """Wait for all batches, also for those that batches start."""
        while self.threads:
            self.threads.pop().join()

    @staticmethod
    def _run(batch_id: int) -> None:
        try:
            run_batch(batch_id)
        finally:
            connection.close()


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """The doors; at the end everything that still holds is released."""
    doors = Doors()
    monkeypatch.setattr(app, "send_task", doors.send)
    monkeypatch.setattr(app.control, "revoke", doors.signal)
    monkeypatch.setattr(worker, "engine", lambda: doors.engine)
    yield doors
    doors.engine.release.set()
    doors.join()


@pytest.fixture
def make_run(testbed: Testbed, owner: User, doors: Doors) -> MakeRun:
    """Make a run of `testbed`: `make_run(Command.UP)`."""

    def make(command: Command = Command.UP, user: User | None = None) -> Run:
        return create_run(testbed, user or owner, command)

    return make


@pytest.fixture
def newest(transactional_db: None) -> Iterator[None]:
    """Leave the database as the other tests expect it."""
    yield
    migrate_to_newest()
