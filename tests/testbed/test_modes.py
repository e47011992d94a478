"""Other accounts of the main host may read only the files that QEMU must read."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from orchestration.hosts import Hosts
from testbed.apps import check_modes
from testbed.models import Host
from testbed.testbeds.files import create_testbed
from tests.testbed.conftest import YAML
from tests.testbed.deployment import come_up

pytestmark = pytest.mark.database

CHECKOUT = Path(__file__).resolve().parents[2]
PASSED = 0o711
SEED = (0o600, 0o640)


@pytest.fixture
def data(settings: object, tmp_path: Path) -> Iterator[Path]:
    """A data folder, and the product's umask."""
    settings.DATA_DIR = tmp_path / "data"
    settings.TESTBEDS_DIR = settings.DATA_DIR / "testbeds"
    settings.RUNTIME_DIR = settings.DATA_DIR / "runtime"
    umask = os.umask(0o077)
    settings.DATA_DIR.mkdir()
    yield settings.DATA_DIR
    os.umask(umask)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_nothing_of_a_testbed_is_readable_by_other_accounts(
    data: Path, owner: User, hosts: tuple[Host, Host]
):
    files = {"kvm-compose.yaml": YAML.encode(), "scripts/setup.sh": b"echo\n"}
    testbed = create_testbed(owner, "lab", files)

    kept = Hosts(data / "runtime")
    come_up(testbed, kept)
    kept.close()

    lab = testbed.directory
    passed = {lab.parent, lab, lab / "artefacts"}
    modes = {path: mode_of(path) for path in data.rglob("*")}
    assert {path for path in modes if modes[path] == PASSED} == passed
    seeds = {path for path in modes if path.name.endswith("-seed.iso")}
    assert len(seeds) == 2
    assert {modes[path] for path in seeds} <= set(SEED)
    others = modes.keys() - passed - seeds
    assert [path for path in others if modes[path] & 0o077] == []


def test_database_that_is_made_is_its_owners_alone(tmp_path: Path):
    data = tmp_path / "data"
    environment = os.environ | {
        "TESTBED_DATA_DIR": str(data),
        "TESTBED_DATABASE_URL": "sqlite:///db.sqlite3",
        "DJANGO_SETTINGS_MODULE": "testbed.settings",
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "sessions", "--verbosity", "0"],
        cwd=CHECKOUT,
        env=environment,
        check=True,
        umask=0o022,
    )

    assert mode_of(data) == PASSED
    with closing(sqlite3.connect(data / "db.sqlite3")) as database:
        assert database.execute("select 1").fetchone()
    assert [path for path in data.rglob("*") if mode_of(path) & 0o077] == []


def test_check_names_what_everybody_may_read(data: Path):
    secret = data / "testbeds" / "lab" / "state.json"
    secret.parent.mkdir(parents=True)
    secret.touch()
    before = check_modes()

    secret.chmod(0o644)
    data.chmod(0o755)
    (warning,) = check_modes()

    assert not [found for found in before if str(data) in found.msg]
    assert warning.msg.startswith(f"Every account of this machine may read {data}, ")
    assert str(secret) in warning.msg
