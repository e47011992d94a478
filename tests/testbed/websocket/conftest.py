"""A run with its plan, and tabs that open its websocket.

The run's consumers look for news all the time, so that no test waits for a tick of
theirs, and count nobody as silent unless a test says so.
"""

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

from testbed.websocket import consumer
from tests.testbed.websocket.browser_tab import Tab


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    """Look for news all the time: the in-memory layer rings in its own loop only.

    On a busy machine nobody is silent only because this test's turn comes late.
    """
    monkeypatch.setattr(consumer, "TICK_S", 0.05)
    monkeypatch.setattr(consumer, "SILENCE_S", 600.0)


@pytest.fixture(autouse=True)
def no_connection_is_left():
    """Close what channels' communicator, unlike its server, leaves open."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def tab(request):
    """Open tabs: `await tab(run, user)`."""

    async def open_tab(run_id, user=None, query="", **how):
        opened = await sync_to_async(Tab)(run_id, user, query, **how)
        return await opened.open()

    return open_tab


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def plan(run):
    return [(entry["index"], entry["kind"]) for entry in run.plan["instructions"]]


@pytest.fixture
def reload(run):
    return sync_to_async(run.refresh_from_db)
