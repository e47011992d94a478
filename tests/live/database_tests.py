"""A plugin of pytest for PostgreSQL: tests that depend on a database, emptied quickly."""

from collections.abc import Iterable

import pytest
from django.db import connection

# Their rows are found by key alone, or are what other tests ask for: requests that no view
# takes, files, frames, bodies, the client at the other end. Of the pages, those that select,
# lock or count are asked, and each once by the walk.
SAME_EVERYWHERE = tuple(
    f"tests/testbed/{place}"
    for place in (
        "client/",
        "consoles/",
        "pages/artefacts/",
        "pages/diagram/",
        "pages/execution/",
        "pages/test_changes.py",
        "templatetags/",
        "test_bodies.py",
        "test_commands.py",
        "test_walk.py::test_form_without_its_token",
        "test_walk.py::test_other_methods",
        "testbeds/planning/",
        "testbeds/test_files.py",
        "testbeds/test_uploads.py",
        "views/guests/",
        "views/ssh/",
        "views/test_captures.py",
        "views/test_command_bar.py",
        "views/test_create.py",
        "views/test_diagram.py",
        "views/test_editor",
        "views/test_executions_on_hosts.py",
        "views/test_fetched.py",
        "views/test_sign_in.py",
        "views/test_site.py",
        "views/test_testbed_files.py",
        "views/test_testbed_page.py",
        "views/test_tools.py",
        "websocket/test_console.py",
        "websocket/test_malformed.py",
        "websocket/test_walk.py",
    )
)
FIXTURES = {"db", "transactional_db", "django_db_reset_sequences"}


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests that pass the same on every database."""
    others = [item for item in items if not asks_it(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if asks_it(item)]


def asks_it(item: pytest.Item) -> bool:
    """Return whether a test asks the database for what databases do in their own way."""
    return uses_database(item) and not item.nodeid.startswith(SAME_EVERYWHERE)


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
