"""The page of a guest's consoles, and the tickets that it asks for."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.access.sessions import hashed
from testbed.consoles.tickets import Mode, read
from testbed.models import Testbed
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/guests/web/console/"
TICKET = f"{PAGE}ticket/"


@pytest.fixture(autouse=True)
def deployed(generated: Testbed) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


@pytest.fixture
def watcher(browser: Client, deployed: Testbed, share: ShareWith) -> None:
    """Let a viewer use the browser."""
    browser.force_login(share(deployed, "viewer"))


def test_guests_row_leads_to_its_console(browser: Client):
    page = browser.get("/testbeds/olive/lab/").content.decode()

    assert f'href="{PAGE}"' in page
    assert 'aria-label="Console of web"' in page


def test_page_offers_all_consoles(browser: Client):
    page = squeezed(visible(browser.get(PAGE).content.decode()))

    assert "Serial" in page
    assert "Shell" in page
    assert "Screen" in page
    assert "Read only" in page


def test_screen_has_keys_that_a_browser_keeps(browser: Client):
    page = squeezed(visible(browser.get(f"{PAGE}?mode=screen").content.decode()))

    assert "Ctrl+Alt+Del" in page
    assert "Scale to the page" in page
    assert "Paste" not in page


@pytest.mark.parametrize("mode", ["", "desktop", "SCREEN"])
def test_unknown_mode_is_the_serial_console(browser: Client, mode: str):
    page = browser.get(f"{PAGE}?mode={mode}").content.decode()

    assert 'data-mode="serial"' in page
    assert read(browser.post(TICKET, {"mode": mode}).json()["ticket"]).mode == "serial"


def test_ticket_is_of_this_user_session_and_guest(
    browser: Client, owner: User, deployed: Testbed
):
    answer = browser.post(TICKET, {"mode": "serial", "typing": "1"})

    ticket = read(answer.json()["ticket"])
    session = hashed(browser.cookies["sessionid"].value)
    assert (ticket.user_id, ticket.session) == (owner.pk, session)
    assert (ticket.testbed_id, ticket.guest) == (deployed.pk, "web")
    assert (ticket.mode, ticket.may_type) == (Mode.SERIAL, True)
    assert answer["Cache-Control"] == "no-store, private"


@pytest.mark.usefixtures("watcher")
def test_watcher_sees_the_screen_and_has_no_keys(browser: Client):
    page = squeezed(visible(browser.get(f"{PAGE}?mode=screen").content.decode()))
    ticket = read(browser.post(TICKET, {"mode": "screen"}).json()["ticket"])

    assert "Ctrl+Alt+Del" not in page
    assert "data-types" not in browser.get(PAGE).content.decode()
    assert (ticket.mode, ticket.may_type) == (Mode.SCREEN, False)
    typing = browser.post(TICKET, {"mode": "screen", "typing": "1"})
    assert typing.status_code == 403


def test_ticket_types_only_where_it_was_asked_for(browser: Client):
    ticket = read(browser.post(TICKET).json()["ticket"])

    assert (ticket.mode, ticket.may_type) == (Mode.SERIAL, False)


@pytest.mark.usefixtures("watcher")
@pytest.mark.parametrize("wish", [{"mode": "shell"}, {"typing": "1"}])
def test_watcher_gets_no_ticket_to_type(browser: Client, wish: dict[str, str]):
    assert browser.post(TICKET, wish).status_code == 403
    assert browser.post(TICKET).status_code == 200


@pytest.mark.usefixtures("watcher")
def test_watcher_is_offered_nothing_else(browser: Client):
    page = squeezed(visible(browser.get(PAGE).content.decode()))

    assert "Shell" not in page
    assert "Read only" not in page


@pytest.mark.parametrize("path", [PAGE, TICKET])
@pytest.mark.parametrize("name", ["nothing", "..", "web%0a"])
def test_guest_that_is_not_there_is_not_found(browser: Client, path: str, name: str):
    path = path.replace("web", name)

    answer = browser.post(path) if path.endswith("ticket/") else browser.get(path)

    assert answer.status_code == 404
