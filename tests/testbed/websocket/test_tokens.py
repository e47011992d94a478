"""A program with an API token on the websocket of a run; consoles have their own file."""

import pytest
from asgiref.sync import sync_to_async

from testbed.access.tokens import make_token
from testbed.models import ApiToken, Run

pytestmark = pytest.mark.django_db(transaction=True)


def text_of(user, *scopes):
    return make_token(user, "ci", scopes, 7)[1]


async def test_token_opens_the_websocket_without_an_origin(tab, run, owner):
    token = await sync_to_async(text_of)(owner, "run")
    socket = await tab(run.pk, token=token, origin=b"")

    await socket.send("cancel")

    assert (await socket.until("run"))["status"] == "cancelled"


async def test_token_without_the_scope_only_follows(tab, run, owner, reload):
    token = await sync_to_async(text_of)(owner)
    socket = await tab(run.pk, token=token)

    await socket.send("cancel")

    assert "API token may not cancel runs" in (await socket.until("error"))["message"]
    await reload()
    assert run.status == Run.Status.PENDING


@pytest.mark.parametrize("token", ["", "tb_nothing"])
async def test_bad_token_is_no_session(tab, run, owner, token):
    """The session beside it does not count."""
    socket = await tab(run.pk, owner, token=token)

    assert await socket.to_close() == 4401


async def test_strangers_token_gets_what_an_unknown_run_gets(tab, run, stranger):
    token = await sync_to_async(text_of)(stranger, "run")
    socket = await tab(run.pk, token=token)

    assert await socket.to_close() == 4404


async def test_revoked_token_ends_the_open_websocket(tab, run, owner):
    token = await sync_to_async(text_of)(owner, "run")
    socket = await tab(run.pk, token=token)
    await socket.send("ping")

    await ApiToken.objects.all().adelete()

    assert await socket.to_close() == 4401


async def test_token_does_not_follow_the_pages_list(tab, run, owner):
    token = await sync_to_async(text_of)(owner, "run")
    socket = await tab(run.pk, token=token, path="/ws/testbeds/")

    assert await socket.to_close() == 4401
