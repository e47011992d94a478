"""A plugin of pytest for PostgreSQL: tests that depend on a database, emptied quickly."""

from collections.abc import Iterable

import pytest
from django.db import connection

# What databases do in their own way: locks, transactions beside each other, sorting,
# searching, counting, ranges of rows. The rest finds rows by key and passes on one as on
# the other; with `--database-tests=all` it runs, too.
DIFFERENT = tuple(
    f"tests/testbed/{place}"
    for place in (
        "access/",
        "api/",
        "expiry/",
        "hosts/test_observed",
        "images/test_deleting.py",
        "images/test_saved.py",
        "pages/test_budgets.py",
        "reservations/",
        "runs/",
        "samples/",
        "sharing/",
        "test_admin.py",
        "test_modes.py",
        "test_retention.py",
        "test_walk.py::test_each_persona_gets_what_the_table_says[GET]",
        "testbeds/erasure/test_protection.py",
        "testbeds/test_disk_space.py",
        "testbeds/trash/",
        "testbeds/listing/",
        "views/listing/",
        "views/test_answers.py",
        "views/test_logs.py",
        "views/test_runs_page.py",
        "views/test_runs_start.py",
        "views/test_testbeds_list.py",
        "websocket/test_driv",
        "websocket/test_follower.py",
        "websocket/test_news.py",
    )
)
FIXTURES = {"db", "transactional_db", "django_db_reset_sequences"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database-tests",
        choices=("different", "all"),
        default="different",
        help="the tests that use a database: those of what databases do in their own way",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests that need not run on this database."""
    places = "" if config.getoption("--database-tests") == "all" else DIFFERENT
    mine = [i for i in items if uses_database(i) and i.nodeid.startswith(places)]
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = mine


def uses_database(item: pytest.Item) -> bool:
    """Return whether a test asks for the database, by its mark or by a fixture."""
    fixtures = FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return bool(fixtures) or item.get_closest_marker("django_db") is not None


@pytest.fixture(autouse=True, scope="session")
def quick_flush() -> None:
    """Empty tables by DELETE: TRUNCATE makes a new file for each table and index."""

    def flush(
        _ops: object, _style: object, tables: Iterable[str], **_: bool
    ) -> list[str]:
        names = map(connection.ops.quote_name, tables)
        return [f"DELETE FROM {name};" for name in names]  # noqa: S608 - quoted

    type(connection.ops).sql_flush = flush
