"""One migrated database for all products of a run of the suite; each migrates for 5 s.

script/test names a folder in TESTBED_TEST_TEMPLATES. Without it each product migrates.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

TEMPLATES = os.environ.get("TESTBED_TEST_TEMPLATES", "")
TEMPLATE = Path(TEMPLATES, "migrated.sqlite3")


def was_copied(database: Path) -> bool:
    """Make a database from the kept one; False when none was kept yet."""
    if not TEMPLATES or not TEMPLATE.exists():
        return False
    _copy(TEMPLATE, database)
    return True


def keep(database: Path) -> None:
    """Keep a database that has nothing but what the migrations made."""
    if TEMPLATES:
        mine = TEMPLATE.with_suffix(f".{os.getpid()}")
        _copy(database, mine)
        mine.rename(TEMPLATE)


def _copy(source: Path, target: Path) -> None:
    """Copy with SQLite itself: some of the source may be in its log beside it."""
    target.touch(0o600)
    with (
        closing(sqlite3.connect(source)) as here,
        closing(sqlite3.connect(target)) as at,
    ):
        here.backup(at)
