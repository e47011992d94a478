"""Empties the database after a test with transactions of its own, in one transaction.

Django's `flush` also deletes the rows that migrations made of the models themselves,
the content types and permissions, and makes them anew by a hundred queries each time. No
test changes these. PostgreSQL's TRUNCATE makes a new file for each table and index:
DELETE does not.
"""

from functools import cache

from django.db import connection, transaction
from django.test import TransactionTestCase

KEPT = {"django_content_type", "auth_permission"}


def empty_tables(_case: TransactionTestCase) -> None:
    """Delete all rows but those that Django makes of the models."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in deletions():
            cursor.execute(statement)


@cache
def deletions() -> tuple[str, ...]:
    """Return a statement for each table of a model; their order plays no part.

    Foreign keys are checked at the end of the transaction.
    """
    names = connection.introspection.django_table_names(only_existing=True)
    quoted = map(connection.ops.quote_name, sorted({*names} - KEPT))
    return tuple(f"DELETE FROM {name}" for name in quoted)  # noqa: S608 - quoted
