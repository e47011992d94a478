"""Every websocket address with every persona and frame: who gets through, as a table."""

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from testbed.asgi import addresses
from testbed.models import Run
from testbed.websocket.consumer import Pace
from tests.testbed.websocket.browser_tab import Tab

pytestmark = pytest.mark.django_db(transaction=True)

ROUTES = [r"^ws/orchestration/(?P<run>[0-9]{1,18})/$", r"^ws/console/$", ""]
FRAMES = {
    "subscribe": {"text_data": '{"type": "subscribe", "after": 0}'},
    "instruction": {"text_data": '{"type": "instruction", "index": 0, "kind": "init"}'},
    "cancel": {"text_data": '{"type": "cancel"}'},
    "detach": {"text_data": '{"type": "detach"}'},
    "ping": {"text_data": '{"type": "ping"}'},
    "garbage": {"text_data": "{"},
    "binary": {"bytes_data": b"\0"},
    "large": {"text_data": " " * 70_000},
}
# Close codes of those who do not get through.
REFUSED = {"anonymous": 4401, "stranger": 4404, "staff": 4404}
TOO_MUCH = {"binary", "large"}


@pytest.fixture
def users(owner, stranger, admin):
    staff = User.objects.create_user("steve", password="steve-pass", is_staff=True)
    others = {"owner": owner, "stranger": stranger, "admin": admin, "staff": staff}
    return {"anonymous": None, **others}


def test_table_knows_every_address():
    assert [str(route.pattern) for route in addresses(Pace()).routes] == ROUTES


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("persona", REFUSED)
async def test_refused_user_reaches_nothing_by_any_frame(
    run, doors, users, persona, frame, reload
):
    tab = await (await sync_to_async(Tab)(run.pk, users[persona])).open()

    await tab.socket.send_to(**FRAMES[frame])

    assert await tab.to_close() == REFUSED[persona]
    assert [seen["type"] for seen in tab.seen] == ["close"]
    await reload()
    assert (run.status, doors.sent) == (Run.Status.PENDING, [])


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("persona", ["owner", "admin"])
async def test_user_of_the_run_gets_through(run, doors, users, persona, frame):
    tab = await (await sync_to_async(Tab)(run.pk, users[persona])).open()

    await tab.socket.send_to(**FRAMES[frame])

    if frame in TOO_MUCH:
        assert await tab.to_close() == 4400
    else:
        await tab.send("cancel")
        assert (await tab.until("run"))["status"] == "cancelled"
        await tab.until("close", code=1000)


@pytest.mark.parametrize("path", ["", "x", "9" * 19, "-1", "1/more"])
@pytest.mark.parametrize("persona", ["anonymous", "stranger", "owner", "admin"])
async def test_other_addresses_hold_nothing(users, persona, path):
    tab = await (await sync_to_async(Tab)(path, users[persona])).open()

    assert await tab.to_close() == 4404
