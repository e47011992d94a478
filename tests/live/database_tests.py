"""A plugin of pytest for PostgreSQL: only tests that depend on the database.

What databases do in their own way: locks, transactions beside each other, constraints,
sorting, searching, counting, ranges of rows. The rest finds rows by key and passes on
one as on the other. So these run there, new ones without a line here:

* the tests of FOLDERS, whose subjects are such;
* tests that ask for transactions of their own, but for those of ASKERS: there a thread
  of a server is the reason;
* those marked `database`, wherever they are. The walks of routes and of operations are
  such: they open each page, and do each operation of the API.

With `--database-tests=all` all run that use a database.
"""

import pytest

PLACE = "tests/testbed"
FOLDERS = tuple(
    f"{PLACE}/{folder}/"
    for folder in (
        "access",
        "expiry",
        "reservations",
        "runs",
        "samples",
        "sharing",
        "testbeds/erasure",
        "testbeds/listing",
        "testbeds/trash",
        "views/listing",
    )
)
# They reach the product through requests, pages, sockets and the client.
ASKERS = tuple(
    f"{PLACE}/{place}"
    for place in ("client/", "test_bodies.py", "views/", "websocket/")
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
    has_all = config.getoption("--database-tests") == "all"
    mine = [i for i in items if uses_database(i) and (has_all or depends_on_it(i))]
    chosen = {*mine}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = mine


def uses_database(item: pytest.Item) -> bool:
    """Return whether a test asks for the database, by its mark or by a fixture."""
    fixtures = FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return bool(fixtures) or item.get_closest_marker("django_db") is not None


def depends_on_it(item: pytest.Item) -> bool:
    """Return whether a test is of what databases do in their own way."""
    if item.nodeid.startswith(FOLDERS) or item.get_closest_marker("database"):
        return True
    return has_own_transactions(item) and not item.nodeid.startswith(ASKERS)


def has_own_transactions(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("django_db")
    fixtures = getattr(item, "fixturenames", ())
    return "transactional_db" in fixtures or bool(
        mark and mark.kwargs.get("transaction")
    )
