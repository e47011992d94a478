"""Testbeds of before names keep their keys, and get them as names; and back."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

BEFORE, AFTER = [("testbed", "0048_notifications")], [("testbed", "0049_names")]


def migrated(to: list[tuple[str, str]]):
    executor = MigrationExecutor(connection)
    executor.migrate(to)
    return executor.loader.project_state(to).apps


@pytest.fixture
def newest(transactional_db: None):
    """Leave the database as the other tests expect it."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_names_come_and_go_and_keys_stay(newest: None):
    apps = migrated(BEFORE)
    user = apps.get_model("auth", "User").objects.create(username="olive")
    keys = ["quickstart", "runs", "runs-testbed", "tb41"]
    for number, key in enumerate(keys):
        apps.get_model("testbed", "Testbed").objects.create(
            owner=user, slug=key, number=number
        )

    apps = migrated(AFTER)
    testbeds = apps.get_model("testbed", "Testbed").objects
    assert dict(testbeds.values_list("slug", "name")) == {
        "quickstart": "quickstart",
        "runs": "runs-testbed-testbed",
        "runs-testbed": "runs-testbed",
        "tb41": "tb41",
    }
    assert apps.get_model("testbed", "KeyCount").objects.get().last >= 41
    testbeds.filter(slug="quickstart").update(name="ring")

    apps = migrated(BEFORE)
    found = apps.get_model("testbed", "Testbed").objects.values_list("slug", flat=True)
    assert sorted(found) == sorted(keys)

    apps = migrated(AFTER)
    assert apps.get_model("testbed", "Testbed").objects.get(slug="quickstart").name == (
        "quickstart"
    )
