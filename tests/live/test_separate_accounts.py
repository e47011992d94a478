"""Web, worker, console gateway and Redis as docs/operations.md installs them.

Redis has deploy/redis.conf, Redis and the web an account each, and worker and gateway
are root with the rights of their units alone. A testbed comes up, its consoles open and
it goes down with that, and no account reads more than it needs. The accounts are numbers, so nothing is added to the machine.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from testbed.client.watching import Frame
from tests.deployed_files import CONSOLES, DEPLOY, WORKER, rights, setting
from tests.live.conftest import TOOLS as HOST_TOOLS
from tests.live.console_page import console_page
from tests.live.namespace_host import images
from tests.live.stack import CHECKOUT, MIGRATE, Stack
from tests.live.watch import project

WEB, REDIS, STRANGER = 64_901, 64_902, 64_903
PASSWORD = secrets.token_hex(24)
SLUG, GUEST = "single", CHECKOUT / "examples/single"
# Those that are root with some of its rights.
UNITS = {"worker": WORKER, "consoles": CONSOLES}
# What no other account may read, as patterns below the data folder.
PRIVATE = ("db.sqlite3", "secret-key", "testbeds/*/files/*", "testbeds/*/state.json")
PRIVATE += ("testbeds/*/keys/*", "testbeds/*/artefacts/*-seed.iso")
PYTHON = ("/usr/bin/python3", "-I", "-c")
READ = (*PYTHON, "import sys; open(sys.argv[1], 'rb').read(1)")
CONNECT = (
    *PYTHON,
    "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
)

TOOLS = (*HOST_TOOLS, "setpriv", "capsh")

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        bool(lacking := [tool for tool in TOOLS if not shutil.which(tool)]),
        reason=f"not installed: {', '.join(lacking)}",
    ),
]


# Runs a program where folders can be reached although one above them is closed to other
# accounts, as a checkout or a Python below root's home is: PASS CLOSED... -- FOLDER... --
PASS = """
set -e
closed=; while [ "$1" != -- ]; do closed="$closed $1"; shift; done; shift
folders=; while [ "$1" != -- ]; do folders="$folders $1"; shift; done; shift
[ "$closed" ] || exec "$@"
aside=$(mktemp -d)
for each in $folders; do mkdir -p "$aside$each" && mount --bind "$each" "$aside$each"; done
for each in $closed; do mount -t tmpfs -o mode=755 tmpfs "$each"; done
for each in $folders; do mkdir -p "$each" && mount --move "$aside$each" "$each"; done
rm -r --one-file-system "$aside"
exec "$@"
"""
PROGRAMS = tuple({Path(sys.base_prefix), CHECKOUT})


def closed_above(folder: Path) -> Path | None:
    """Return the outermost folder above this one that others may not enter."""
    return next((f for f in reversed(folder.parents) if not f.stat().st_mode & 1), None)


def account(number: int, *groups: int) -> list[str]:
    """Return the words that run a program as an account without any right of root."""
    above = {folder: closed_above(folder) for folder in PROGRAMS}
    words = ["unshare", "--mount", "sh", "-c", PASS, "sh"]
    words += [*map(str, {top for top in above.values() if top}), "--"]
    words += [*(str(folder) for folder, top in above.items() if top), "--"]
    words += ["setpriv", f"--reuid={number}", f"--regid={number}"]
    joined = ",".join(map(str, groups))
    words += [f"--groups={joined}"] if groups else ["--clear-groups"]
    return [*words, "--no-new-privs", "--bounding-set=-all"]


class SeparateAccounts(Stack):
    """The product on real hosts, with an account for each of its processes."""

    def _make_database(self, *added: tuple[str, ...]) -> None:
        """Run each command with its own account: the web's makes the database."""
        for words in (MIGRATE, *added):
            self.manage(*words)

    def start_redis(self) -> None:
        """Start Redis with the documented configuration, and choose the accounts."""
        self.data.chmod(0o711)
        os.chown(self.data, WEB, WEB)
        web = account(WEB, REDIS)
        self.prefixes = {"migrate": web, "web": web}
        for name, unit in UNITS.items():
            self.prefixes[name] = ["setpriv", *rights(unit)]
        place = self.folder / "redis"
        place.mkdir()
        text = (DEPLOY / "redis.conf").read_text().replace("/run/redis", str(place))
        conf = place / "testbed.conf"
        conf.write_text(text.replace("PASSWORD", PASSWORD))
        conf.chmod(0o640)
        for path in (place, conf):
            os.chown(path, REDIS, REDIS)
        self.redis = place / "redis-server.sock"
        self.environment["TESTBED_REDIS_URL"] = f"unix://:{PASSWORD}@{self.redis}"
        words = [*account(REDIS), "redis-server", str(conf), "--dir", str(place)]
        self._start("redis", [*words, "--save", ""])
        self._wait_for("redis", self.redis.exists)

    def succeeds(self, prefix: list[str], *words: str) -> bool:
        """Return whether a command succeeds on main, run by an account."""
        argv = self.main.argv(*prefix, *words)
        return subprocess.run(argv, capture_output=True).returncode == 0


@pytest.fixture(scope="module", name="product")
def _product() -> Iterator[SeparateAccounts]:
    """The product, on which the smallest example is up."""
    if not (images() / "test_guest.json").exists():
        pytest.skip("the test guest image is not built: script/lab/guest-image")
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="testbed-live-"))
    label = f"tba{secrets.token_hex(2)}"
    product = SeparateAccounts(folder, label=label, image_cache=images())
    try:
        product.start_real()
        product.add_user("owner")
        with closing(product.client("owner")) as owner:
            owner.create_testbed(SLUG, GUEST)
            assert owner.run(SLUG, "up", ignore) == "succeeded", product.log("worker")
        yield product
    finally:
        product.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def ignore(frame: Frame) -> None:
    """Take a frame of a run."""


@pytest.mark.parametrize("name", UNITS)
def test_process_has_the_rights_of_its_unit_alone(
    product: SeparateAccounts, name: str
) -> None:
    status = Path(f"/proc/{product.processes[name].pid}/status").read_text()
    rows = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)

    kept = subprocess.run(
        ["capsh", f"--decode={rows['CapEff']}"], capture_output=True, text=True
    ).stdout
    names = set(kept.strip().partition("=")[2].split(","))

    wanted = setting(UNITS[name], "CapabilityBoundingSet")
    assert names == {right.lower() for right in wanted}
    assert rows["NoNewPrivs"] == "1"


def test_stranger_reads_nothing_private(product: SeparateAccounts) -> None:
    private = [path for pattern in PRIVATE for path in product.data.glob(pattern)]
    private += [product.key, product.redis.with_name("testbed.conf")]
    stranger = account(STRANGER)

    assert len(private) > len(PRIVATE)
    for path in private:
        assert product.succeeds([], *READ, str(path))
        assert not product.succeeds(stranger, *READ, str(path)), path
    assert product.succeeds(account(WEB, REDIS), *CONNECT, str(product.redis))
    assert not product.succeeds(stranger, *CONNECT, str(product.redis))


def test_redis_answers_no_account_without_the_password(
    product: SeparateAccounts,
) -> None:
    ask = ["redis-cli", "-s", str(product.redis), "ping"]

    asked = subprocess.run(ask, capture_output=True, text=True)

    assert asked.stdout.startswith("NOAUTH ")


def test_web_reaches_no_host(product: SeparateAccounts) -> None:
    web = account(WEB, REDIS)
    for words in (("virsh", "-c", "qemu:///system", "list"), ("ovs-vsctl", "show")):
        assert product.succeeds([], *words)
        assert not product.succeeds(web, *words), words
    assert product.succeeds([], *READ, str(product.key))
    assert not product.succeeds(web, *READ, str(product.key))


def test_web_alone_connects_to_the_console_gateway(product: SeparateAccounts) -> None:
    socket = str(product.data / "console.sock")

    assert product.succeeds(account(WEB), *CONNECT, socket)
    for other in (STRANGER, REDIS):
        assert not product.succeeds(account(other), *CONNECT, socket)


def test_consoles_open_with_these_accounts(product: SeparateAccounts) -> None:
    with closing(product.client("owner")) as owner:
        with console_page(owner, SLUG, "solo", "serial") as serial:
            assert b"testbed guest ready" in serial.past
        with console_page(owner, SLUG, "solo", "shell") as shell:
            shell.type(b"echo answer-$((6*7))\n")
            shell.read_until(b"answer-42")


def test_testbed_goes_down(product: SeparateAccounts) -> None:
    with closing(product.client("owner")) as owner:
        assert owner.run(SLUG, "down", ignore) == "succeeded"

    assert product.main.run("virsh", "list", "--name").strip() == ""


def test_deleted_testbed_loses_its_disk_and_comes_back_from_the_trash(
    product: SeparateAccounts,
) -> None:
    """The web's account keeps and brings back what root's worker wrote beside."""
    with closing(product.client("owner")) as owner:
        number = owner.server.delete(owner.path(SLUG))["trash"]
        back = owner.server.send("POST", f"/trash/{number}/restore")

        assert owner.has_testbed(SLUG)
    disk = owner.erased[0]["losses"][0]
    assert (disk["sort"], disk["name"], disk["host"]) == ("disk", "solo", "main")
    assert disk["bytes"] > 0
    assert back["restored"] == f"{SLUG} is back. Up makes its guests anew."
    folder = project(product, SLUG).directory
    assert (folder / "files/kvm-compose.yaml").is_file()
    assert not list((folder / "artefacts").iterdir())
