"""The Django application, and its check of what other accounts of main may read.

Each process of Django gets here, and so has the Celery application of its tasks.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from testbed.celery import app as celery_app

__all__ = ["TestbedConfig", "celery_app"]
NAMED = 5
PRIVATE = ("files", "keys", "state.json", "deployed.json", "markers.log")


class TestbedConfig(AppConfig):
    """The web's application."""

    name = "testbed"


@register(Tags.security)
def check_modes(**options: object) -> list[CheckMessage]:
    """Warn of what every account of the main host may read."""
    found = [path for path in _private_paths() if _is_open(path)]
    if not found:
        return []
    named = ", ".join(map(str, found[:NAMED]))
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [
        Warning(
            f"Every account of this machine may read {named}{more}.",
            hint="They hold passwords, keys and sessions. `chmod 711` the data folder, "
            "`chmod -R go-rwx` the others.",
            id="testbed.W001",
        )
    ]


def _private_paths() -> Iterator[Path]:
    yield settings.DATA_DIR
    yield settings.RUNTIME_DIR
    database = settings.DATABASES["default"]
    if str(database["ENGINE"]).endswith("sqlite3"):
        name = Path(str(database["NAME"]))
        yield from (name.with_name(f"{name.name}{end}") for end in ("", "-wal", "-shm"))
    for testbed in sorted(Path(settings.TESTBEDS_DIR).glob("*/")):
        yield from (testbed / name for name in PRIVATE)


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:  # missing, or not for this account either
        return False
