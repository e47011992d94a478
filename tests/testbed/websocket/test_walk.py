"""Every websocket address with every persona and frame: who gets through, as a table."""

from typing import get_args

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from testbed.access.permissions import Act, Permissions
from testbed.access.roles import Role
from testbed.asgi import addresses
from testbed.models import Run, Share
from testbed.runs.cancelling import request_cancel
from testbed.websocket.consumer import ACTS as ASKED
from testbed.websocket.consumer import Pace
from testbed.websocket.frames import Incoming
from tests.testbed.websocket.browser_tab import Tab

pytestmark = pytest.mark.django_db(transaction=True)

ROUTES = [
    r"^ws/orchestration/(?P<run>[0-9]{1,18})/$",
    r"^ws/console/$",
    r"^ws/testbeds/$",
    "",
]
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
# The act of each frame; those that are none are answered alike to all.
ACTS = {
    "subscribe": Act.SEE,
    "instruction": Act.DRIVE,
    "cancel": Act.CANCEL,
    "detach": Act.DRIVE,
    "ping": Act.SEE,
}
ROLES = {role.value: role for role in Role if role is not Role.ADMIN}
ROLES["admin"] = Role.ADMIN
ALLOWED = [
    (persona, frame)
    for persona, role in ROLES.items()
    for frame in FRAMES
    if frame not in ACTS or Permissions(role).allows(ACTS[frame])
]
NOT_ALLOWED = [
    (persona, frame)
    for persona in ROLES
    for frame in ACTS
    if (persona, frame) not in ALLOWED
]


@pytest.fixture
def users(owner, stranger, admin, testbed, share):
    staff = User.objects.create_user("steve", password="steve-pass", is_staff=True)
    others = {"owner": owner, "stranger": stranger, "admin": admin, "staff": staff}
    shared = {role.value: share(testbed, role.value) for role in Share.Role}
    return {"anonymous": None, **others, **shared}


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


def test_each_frame_is_an_act():
    frames = {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in ASKED}

    assert {name: ASKED[frames[name]] for name in ACTS} == ACTS
    assert ASKED.keys() == set(get_args(Incoming))


@pytest.mark.parametrize(("persona", "frame"), ALLOWED)
async def test_user_of_the_run_gets_through(run, doors, users, owner, persona, frame):
    tab = await (await sync_to_async(Tab)(run.pk, users[persona])).open()

    await tab.socket.send_to(**FRAMES[frame])

    if frame in TOO_MUCH:
        assert await tab.to_close() == 4400
    else:
        await tab.send("ping")
        await sync_to_async(request_cancel)(run.pk, owner)
        assert (await tab.until("run"))["status"] == "cancelled"
        await tab.until("close", code=1000)
        why = [frame["message"] for frame in tab.of("error")]
        assert not [text for text in why if "you may not" in text]


@pytest.mark.parametrize(("persona", "frame"), NOT_ALLOWED)
async def test_frame_beyond_the_role_is_refused_with_a_sentence(
    run, doors, users, persona, frame, reload
):
    tab = await (await sync_to_async(Tab)(run.pk, users[persona])).open()

    await tab.socket.send_to(**FRAMES[frame])

    said = await tab.until("error")
    await tab.close()
    await reload()
    assert said["message"].startswith("As a viewer of testbed olive/lab you may not ")
    assert "the role operator, which olive or a lab admin can give" in said["message"]
    assert (run.status, run.driver, doors.sent) == ("pending", "nobody", [])


@pytest.mark.parametrize("path", ["", "x", "9" * 19, "-1", "1/more"])
@pytest.mark.parametrize("persona", ["anonymous", "stranger", "owner", "admin"])
async def test_other_addresses_hold_nothing(users, persona, path):
    tab = await (await sync_to_async(Tab)(path, users[persona])).open()

    assert await tab.to_close() == 4404
