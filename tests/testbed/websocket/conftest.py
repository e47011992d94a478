"""A run with its plan, and tabs that open its websocket."""

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

from tests.testbed.websocket.browser_tab import Tab


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
