"""The warning reaches a real SMTP server of this machine."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_string
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.utils import timezone

from testbed.environment import ExpiryTimes
from testbed.expiry.sweeping import expire_once
from testbed.models import Delivery, Expiry, Notification, NotificationChoice, Testbed
from testbed.models.notifications.choices import Channel, Kind
from testbed.notifications.delivery import MOST_AT_ONCE, WAITS, deliver_once
from testbed.notifications.telling import tell
from tests.testbed.certificates import Authority
from tests.testbed.mail_server import mail_server

HOUR = timedelta(hours=1)
NOW = timezone.now()


@pytest.fixture
def received(settings: object) -> Iterator[list[str]]:
    with mail_server(settings) as mails:
        yield mails


@pytest.fixture
def near(generated: Testbed, owner: User, settings: object) -> Expiry:
    """The end of a testbed that is up, in 20 hours."""
    settings.EXPIRY = ExpiryTimes(72 * HOUR, 240 * HOUR, 24 * HOUR, 0 * HOUR)
    Testbed.objects.update(condition=Testbed.Condition.UP)
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example")
    return Expiry.objects.create(testbed=generated, expires_at=NOW + 20 * HOUR)


def test_warning_is_delivered(near: Expiry, received: list[str]):
    expire_once(NOW)
    expire_once(NOW)

    assert deliver_once(timezone.now()) == 1

    (text,) = received
    mail = message_from_string(text)
    assert mail["To"] == "olive@lab.example"
    assert mail["From"] == "testbeds@localhost"
    assert mail["Subject"].startswith("Testbed lab ends at ")
    assert "press Extend on its page" in mail.get_payload()
    assert "/testbeds/olive/lab/" in mail.get_payload()


def test_server_with_a_certificate_of_the_labs_own_authority_gets_mail(
    settings: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    authority = Authority.new()
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    certificate = authority.sign(tmp_path / "server.pem", "127.0.0.1")

    with mail_server(settings, certificate) as received:
        assert send_mail("Hello", "Text", None, ["olive@lab.example"]) == 1

    (text,) = received
    assert message_from_string(text)["Subject"] == "Hello"


def test_mail_is_not_sent_to_an_owner_who_wants_none(
    near: Expiry, owner: User, received: list[str]
):
    NotificationChoice.objects.create(user=owner, channels={"end_near": ["browser"]})

    assert expire_once(NOW)["warned"] == 1
    assert deliver_once(timezone.now()) == 0
    assert received == []


def test_owner_who_left_is_stood_in_for_by_lab_admins(
    near: Expiry, owner: User, admin: User, received: list[str]
):
    User.objects.filter(pk=owner.pk).update(is_active=False)
    User.objects.filter(pk=admin.pk).update(email="ada@lab.example")

    expire_once(NOW)
    deliver_once(timezone.now())

    (mail,) = map(message_from_string, received)
    assert mail["To"] == "ada@lab.example"
    assert mail["Subject"].startswith("Testbed olive/lab ends at ")


def test_refused_address_keeps_no_other_mail_back(
    near: Expiry, owner: User, stranger: User, received: list[str]
):
    User.objects.filter(pk=owner.pk).update(email="nobody@lab.example")
    User.objects.filter(pk=stranger.pk).update(email="sam@lab.example")
    other = Testbed.objects.create(
        owner=stranger, slug="other", number=8, condition="up"
    )
    Expiry.objects.create(testbed=other, expires_at=NOW + 21 * HOUR)

    assert expire_once(NOW)["warned"] == 2
    assert deliver_once(timezone.now()) == 1

    assert [message_from_string(text)["To"] for text in received] == ["sam@lab.example"]
    assert "no such user" in Delivery.objects.get(status="waiting").said


def test_mail_waits_for_a_server_that_is_away(
    near: Expiry, received: list[str], settings: object
):
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    expire_once(NOW)
    now = timezone.now()
    assert deliver_once(now) == 0
    assert "The mail server is away" in Delivery.objects.get().said

    settings.EMAIL_PORT = port
    assert deliver_once(now + WAITS[0]) == 1
    assert len(received) == 1


def test_lab_without_a_mail_server_tells_on_the_page_alone(
    near: Expiry, settings: object, owner: User
):
    settings.EMAIL_HOST = ""
    expire_once(NOW)

    assert Notification.objects.unread(owner).count() == 1
    assert not Delivery.objects.exists()


@pytest.fixture
def mailed(owner: User, received: list[str]) -> User:
    """A user who is told by mail that runs ended."""
    owner.email = "olive@lab.example"
    owner.save()
    channels = {Kind.RUN_ENDED: [Channel.MAIL]}
    NotificationChoice.objects.create(user=owner, channels=channels)
    return owner


def test_batch_of_slow_mails_gives_the_rest_back_and_sends_none_twice(
    mailed: User, received: list[str]
):
    for number in range(5):
        tell([mailed], Kind.RUN_ENDED, f"Run {number} ended")
    now, seconds = timezone.now(), itertools.count(step=50)

    first = deliver_once(now, clock=lambda: next(seconds))
    left = Delivery.objects.filter(status="waiting")
    given_back = set(left.values_list("tries", "due_at"))
    second = deliver_once(now)

    assert (first, second) == (2, 3)
    assert given_back == {(0, now)}
    subjects = [message_from_string(text)["Subject"] for text in received]
    assert subjects == [f"Run {number} ended" for number in range(5)]


def test_flood_of_one_user_keeps_no_mail_of_another_back(
    mailed: User, member: User, received: list[str]
):
    User.objects.filter(pk=member.pk).update(email="mark@lab.example")
    for number in range(MOST_AT_ONCE + 5):
        tell([mailed], Kind.RUN_ENDED, f"Run {number} ended")
    member.refresh_from_db()
    tell([member], Kind.END_NEAR, "It ends")

    assert deliver_once(timezone.now()) == MOST_AT_ONCE

    to = [message_from_string(text)["To"] for text in received]
    assert to.count("mark@lab.example") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is_active": False}, "The account was deactivated."),
        ({"email": ""}, "The account has no address for mail any more."),
    ],
)
def test_mail_to_an_account_that_gets_none_any_more_is_given_up(
    mailed: User, received: list[str], change: dict, said: str
):
    tell([mailed], Kind.RUN_ENDED, "It ended")
    User.objects.filter(pk=mailed.pk).update(**change)

    assert deliver_once(timezone.now()) == 0

    row = Delivery.objects.get()
    assert (row.status, row.said, received) == ("failed", said, [])


def test_subject_is_one_line(mailed: User, received: list[str]):
    tell([mailed], Kind.RUN_ENDED, "Run\r\nBcc: sam@lab.example\nended")

    assert deliver_once(timezone.now()) == 1

    mail = message_from_string(received[0])
    assert mail["Subject"] == "Run Bcc: sam@lab.example ended"
    assert mail["Bcc"] is None
