"""A plugin of pytest for PostgreSQL: only tests that use a database, emptied quickly."""

from collections.abc import Iterable

import pytest
from django.db import connection

FIXTURES = {"db", "transactional_db", "django_db_reset_sequences"}


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests that pass the same on every database: they use none."""
    others = [item for item in items if not uses_database(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if uses_database(item)]


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
