"""A ticket is good for half a minute, for one opening, and unchanged."""

import time

import pytest
from django.core import signing

from testbed.consoles.tickets import (
    DURATION_S,
    SALT,
    Redemption,
    TicketRefused,
    issue,
    read,
)
from tests.testbed.consoles.guests import ticket


def test_ticket_says_what_was_issued():
    wanted = ticket(guest="db", may_type=False)

    assert read(issue(wanted)) == wanted


def test_each_ticket_is_another():
    assert ticket().number != ticket().number


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "no ticket",
        lambda text: text[:-1],
        lambda text: text.upper(),
        lambda text: signing.dumps({"guest": "web"}, salt=SALT),
        lambda text: signing.dumps(read(text).model_dump(mode="json"), salt="other"),
    ],
)
def test_text_that_the_web_did_not_issue_is_refused(change):
    text = change(issue(ticket()))

    with pytest.raises(TicketRefused):
        Redemption().take(text)


def test_ticket_opens_once():
    tickets = Redemption()
    text = issue(ticket(issued_at=time.time() + 1))
    tickets.take(text)

    with pytest.raises(TicketRefused):
        tickets.take(text)


def test_ticket_from_before_the_start_is_refused():
    text = issue(ticket())

    with pytest.raises(TicketRefused):
        Redemption().take(text)


def test_clock_that_is_set_back_keeps_nobody_out(monkeypatch):
    tickets, then = Redemption(), time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: then)
    text = issue(ticket(issued_at=then))
    with pytest.raises(TicketRefused):  # it may have been used before the clock changed
        tickets.take(text)

    monkeypatch.setattr(time, "time", lambda: then + 5)

    assert tickets.take(issue(ticket(issued_at=then + 4)))


def test_old_ticket_is_refused_and_used_ones_are_forgotten(monkeypatch):
    tickets = Redemption()
    first, second = (issue(ticket(issued_at=time.time() + 1)) for _ in range(2))
    tickets.take(first)
    now = time.time()

    monkeypatch.setattr(time, "time", lambda: now + DURATION_S + 5)

    with pytest.raises(TicketRefused):
        tickets.take(second)
    tickets.take(issue(ticket()))
    assert len(tickets._used) == 1
