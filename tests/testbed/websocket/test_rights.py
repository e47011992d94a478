"""The right to open a run's websocket, and its loss while the websocket is open.

Each refusal has its close code: 4401 for who is not signed in, 4404 where there is no
such run for this user, so that a stranger does not learn which there are.
"""

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from testbed.access.sessions import SessionStore
from testbed.models import Run, Testbed
from tests.testbed.websocket.browser_tab import PATIENCE_S, Tab

pytestmark = pytest.mark.django_db(transaction=True)


async def test_visitor_who_is_not_signed_in_gets_4401(tab, run):
    socket = await tab(run.pk)

    assert await socket.to_close() == 4401
    assert len(socket.seen) == 1


async def test_stranger_gets_what_an_unknown_run_gets(tab, run, stranger):
    socket = await tab(run.pk, stranger)

    assert await socket.to_close() == 4404
    assert len(socket.seen) == 1


@pytest.mark.parametrize("run_id", [999_999, "9" * 18, "nonsense"])
async def test_unknown_run_gets_4404(tab, owner, run_id):
    socket = await tab(run_id, owner)

    assert await socket.to_close() == 4404


async def test_admin_follows_and_cancels_any_run(tab, run, admin):
    socket = await tab(run.pk, admin)

    await socket.send("cancel")

    assert (await socket.until("run"))["status"] == "cancelled"


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b""])
async def test_page_of_another_site_cannot_connect(run, owner, origin):
    tab = await sync_to_async(Tab)(run.pk, owner, origin=origin)

    connected, _ = await tab.socket.connect(timeout=PATIENCE_S)

    assert not connected


async def _deactivate(tab, run, owner):
    owner.is_active = False
    await owner.asave()
    return 4401


async def _end_session(tab, run, owner):
    await SessionStore(tab.session_key).adelete()
    return 4401


async def _end_session_on_the_page(tab, run, owner):
    client = Client()
    await client.aforce_login(owner)
    await sync_to_async(client.post)("/account/sessions/end-others/")
    return 4401


async def _change_password(tab, run, owner):
    owner.set_password("another-pass")
    await owner.asave()
    return 4401


async def _give_away(tab, run, owner):
    other = await type(owner).objects.acreate(username="other")
    await Testbed.objects.filter(pk=run.testbed_id).aupdate(owner=other)
    return 4404


@pytest.mark.parametrize(
    "loses",
    [
        _deactivate,
        _end_session,
        _end_session_on_the_page,
        _change_password,
        _give_away,
    ],
)
async def test_user_who_loses_the_right_is_refused_at_the_next_frame(
    tab, run, owner, doors, reload, loses
):
    socket = await tab(run.pk, owner)
    code = await loses(socket, run, owner)

    await socket.send("instruction", index=0, kind="init")

    assert await socket.to_close() == code
    assert doors.sent == []
    await reload()
    assert run.status == Run.Status.PENDING


@pytest.mark.parametrize("by_group", [False, True])
async def test_user_whose_share_is_taken_away_stops_hearing(
    tab, run, share, reload, by_group
):
    user = await sync_to_async(share)(run.testbed, "operator", by_group=by_group)
    socket = await tab(run.pk, user)
    await socket.send("ping")

    if by_group:
        await user.groups.aclear()
    else:
        await run.testbed.shares.all().adelete()

    assert await socket.to_close() == 4404


async def test_operator_who_becomes_a_viewer_cancels_nothing(tab, run, share, reload):
    user = await sync_to_async(share)(run.testbed, "operator")
    socket = await tab(run.pk, user)
    await run.testbed.shares.aupdate(role="viewer")

    await socket.send("cancel")

    assert "needs the role operator" in (await socket.until("error"))["message"]
    await reload()
    assert run.status == Run.Status.PENDING


async def test_buttons_that_come_are_those_of_the_role(tab, run, owner, share):
    viewer = await sync_to_async(share)(run.testbed, "viewer")
    sees = await tab(run.pk, viewer, "?render=html")
    acts = await tab(run.pk, owner, "?render=html")
    for socket in (sees, acts):
        await socket.send("subscribe", after=0)

    await acts.send("cancel")

    ends = [(await socket.until("run"))["html"] for socket in (sees, acts)]
    assert ['value="up"' in html for html in ends] == [False, True]
    assert ["To olive/lab" in " ".join(html.split()) for html in ends] == [True, False]


async def test_user_who_loses_the_right_stops_hearing_without_a_frame(tab, run, owner):
    socket = await tab(run.pk, owner)

    await _deactivate(socket, run, owner)

    assert await socket.to_close() == 4401


async def test_user_with_too_many_sockets_gets_4429(tab, run, owner, settings):
    settings.USER_LIMITS = {**settings.USER_LIMITS, "sockets": 1}
    first = await tab(run.pk, owner)
    second = await tab(run.pk, owner)

    code = await second.to_close()
    await first.close()
    third = await tab(run.pk, owner)
    await third.send("ping")
    await third.close()

    assert code == 4429
    assert "1 are allowed" in second.of("error")[0]["message"]
    assert third.of("close") == []


async def test_sockets_of_other_users_do_not_count(tab, run, owner, admin, settings):
    settings.USER_LIMITS = {**settings.USER_LIMITS, "sockets": 1}
    await tab(run.pk, owner)

    other = await tab(run.pk, admin)
    await other.send("cancel")

    assert (await other.until("run"))["status"] == "cancelled"
