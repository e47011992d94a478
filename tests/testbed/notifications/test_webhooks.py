"""Webhooks: real HTTP on this machine, and the addresses that are never called."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Network, ip_address

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.state.model import Claim, ClaimKind, HostNetwork
from testbed.models import Delivery, Host, NotificationChoice
from testbed.models.hosts import addresses_of_lab
from testbed.models.notifications.choices import Channel, Kind
from testbed.notifications.choosing import (
    choice_of,
    send_again,
    set_webhook,
    try_webhook,
)
from testbed.notifications.delivery import (
    BEGINS_WITHIN_S,
    LEASE,
    MOST_FAILURES,
    WAITS,
    deliver_once,
)
from testbed.notifications.telling import tell
from testbed.notifications.webhooks import (
    PREFIX,
    WebhookRefused,
    check_url,
    new_secret,
    send,
)
from testbed.outside import AddressRefused, choose
from tests.testbed.notifications.receiver import Receiver, receiving

LOOPBACK = IPv4Network("127.0.0.0/8")
STATUSES = Delivery.Status


@pytest.fixture
def receiver(settings: object) -> Iterator[Receiver]:
    settings.WEBHOOK_NETWORKS = (LOOPBACK,)
    with receiving() as found:
        yield found


@pytest.fixture
def hooked(receiver: Receiver, owner: User) -> User:
    """A user whose webhook gets the ends of runs."""
    NotificationChoice.objects.create(
        user=owner,
        channels={Kind.RUN_ENDED: [Channel.WEBHOOK]},
        webhook_url=receiver.url,
        secret=new_secret(),
    )
    return owner


def test_delivery_is_signed_and_says_what_happened(hooked: User, receiver: Receiver):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed", path="/runs/7/", data={"run": 7})

    assert deliver_once(timezone.now()) == 1

    ((headers, content),) = receiver.got
    body = json.loads(content)
    assert body["type"] == "run_ended"
    assert (body["data"]["title"], body["data"]["run"]) == ("Up of lab failed", 7)
    assert headers["host"] == receiver.url.split("/")[2]
    key = base64.b64decode(choice_of(hooked).secret.removeprefix(PREFIX))
    signed = (
        f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
    )
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert Delivery.objects.get().status == STATUSES.DELIVERED


def test_delivery_that_fails_is_repeated_with_the_same_number(
    hooked: User, receiver: Receiver
):
    receiver.status = 500
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    now = timezone.now()

    for wait in (timedelta(), *WAITS):
        now += wait
        assert deliver_once(now) == 0
        assert deliver_once(now) == 0

    row = Delivery.objects.get()
    assert (row.status, row.said) == (STATUSES.FAILED, "It answered 500.")
    assert row.tries == len(receiver.got) == 1 + len(WAITS)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_redirect_is_not_followed(hooked: User, receiver: Receiver):
    receiver.status, receiver.location = 302, receiver.url
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")

    assert deliver_once(timezone.now()) == 0
    assert Delivery.objects.get().said == "It answered 302."
    assert len(receiver.got) == 1


def test_delivery_of_a_worker_that_died_is_due_again(hooked: User, receiver: Receiver):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    now = timezone.now()
    (claimed,) = Delivery.objects.claim(now, most=10, lease=LEASE)

    assert deliver_once(now) == 0
    assert deliver_once(now + LEASE) == 1
    assert claimed.pk == Delivery.objects.get().pk


def test_webhook_that_takes_nothing_is_stopped_until_it_is_tested(
    hooked: User, receiver: Receiver
):
    receiver.status = 500
    for _ in range(MOST_FAILURES):
        tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    now = timezone.now()
    for wait in (timedelta(), *WAITS):
        now += wait
        deliver_once(now)

    assert "10 deliveries in a row failed" in choice_of(hooked).stopped_because
    assert tell([hooked], Kind.RUN_ENDED, "Up of lab failed") == 0

    receiver.status = 204
    try_webhook(hooked)
    assert deliver_once(timezone.now()) == 1
    assert tell([hooked], Kind.RUN_ENDED, "Up of lab failed") == 1


def test_only_one_test_is_under_way(hooked: User):
    try_webhook(hooked)

    with pytest.raises(WebhookRefused, match="being sent"):
        try_webhook(hooked)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"webhook_url": ""}, "The webhook was removed."),
        ({"stopped_because": "x"}, "Nothing is sent to the webhook any more."),
    ],
)
def test_removed_or_stopped_webhook_is_not_called(
    hooked: User, receiver: Receiver, change: dict, said: str
):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    NotificationChoice.objects.update(**change)

    assert deliver_once(timezone.now()) == 0
    assert receiver.got == []
    row = Delivery.objects.get()
    assert (row.status, row.said) == (STATUSES.FAILED, said)
    assert choice_of(hooked).failures == 0


def test_calls_that_were_not_begun_in_time_are_given_back(
    hooked: User, receiver: Receiver
):
    for _ in range(3):
        tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    now, seconds = timezone.now(), iter((0, 10, BEGINS_WITHIN_S, BEGINS_WITHIN_S))

    assert deliver_once(now, clock=lambda: next(seconds)) == 1
    assert deliver_once(now) == 2
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 3


def test_private_address_is_not_called(
    hooked: User, receiver: Receiver, settings: object
):
    settings.WEBHOOK_NETWORKS = ()
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")

    assert deliver_once(timezone.now()) == 0
    assert "not public" in Delivery.objects.get().said
    assert receiver.got == []


def test_server_that_never_answers_is_left(settings: object):
    settings.WEBHOOK_NETWORKS = (LOOPBACK,)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(WebhookRefused, match="did not answer within 0 s"):
            send(
                url,
                new_secret(),
                "msg_1",
                int(time.time()),
                {},
                refused=(),
                limit_s=0.1,
            )


def test_server_that_is_not_there_is_named(settings: object):
    settings.WEBHOOK_NETWORKS = (LOOPBACK,)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(WebhookRefused, match="could not be called"):
        send(
            f"http://127.0.0.1:{port}/",
            new_secret(),
            "msg_1",
            int(time.time()),
            {},
            refused=(),
        )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.7.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:53aa:64c::1",
        "::127.0.0.1",
        "::10.0.0.1",
        "64:ff9b:1::7f00:1",
        "fec0::1",
        "fe80::1%1",
        "3fff::1",
        "2001:db8::1",
    ],
)
def test_addresses_of_the_lab_are_refused(address: str):
    found = [ip_address("93.184.216.34"), ip_address(address)]

    with pytest.raises(AddressRefused, match="not public"):
        choose(found, (), "SETTING", refused=())


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
    ],
)
def test_other_ways_to_write_a_private_address_are_refused(host: str, settings: object):
    settings.WEBHOOK_NETWORKS = ()

    with pytest.raises(WebhookRefused, match=r"not public|no address of a webhook"):
        send(check_url(f"http://{host}:9/"), new_secret(), "msg_1", 1, {}, refused=())


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "It answered 200."),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", "could not be called"),
    ],
)
def test_endless_answer_is_not_read(head: bytes, said: str, settings: object):
    settings.WEBHOOK_NETWORKS = (LOOPBACK,)

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(b"x" * 65_536)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        try:
            found = send(url, new_secret(), "msg_1", 1, {}, refused=())
        except WebhookRefused as exc:
            found = exc.message
        thread.join()

    assert said in found


def test_allowed_network_is_called_also_as_mapped_address():
    mapped, allowed = ip_address("::ffff:10.0.0.1"), IPv4Network("10.0.0.0/24")
    assert str(choose([mapped], [allowed], "", refused=()))
    assert str(choose([ip_address("2606:2800:220:1::1")], (), "", refused=()))


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.1",
        "::ffff:93.184.216.1",
        "93.184.216.2",
        "93.184.216.3",
        "93.184.216.4",
        "2606:2800:220:1::7",
    ],
)
def test_hosts_of_the_lab_are_refused_also_in_allowed_networks(db: None, address: str):
    claims = [Claim(kind=ClaimKind.ADDRESS, range="93.184.216.4/24", by="eth1")]
    Host.objects.create(
        name="main",
        is_main=True,
        address="93.184.216.1",
        network=HostNetwork(claims=tuple(claims)).model_dump(mode="json"),
    )
    Host.objects.create(
        name="b",
        address="b.example.org",
        tunnel_address="93.184.216.2",
        resolved_address="93.184.216.3",
    )
    refused = addresses_of_lab(["2606:2800:220:1::7", "127.0.0.1", "::1"])
    allowed = [IPv4Network("93.184.216.0/24"), LOOPBACK]

    with pytest.raises(AddressRefused, match="a host of this lab"):
        choose([ip_address(address)], allowed, "", refused=refused)

    others = [ip_address("93.184.216.5"), ip_address("127.0.0.1")]
    assert choose(others, allowed, "", refused=refused) == others[0]


def test_webhook_at_a_host_of_the_lab_is_not_called(hooked: User, receiver: Receiver):
    Host.objects.create(name="b", address="10.9.8.7")
    NotificationChoice.objects.update(webhook_url="http://10.9.8.7:9/")
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")

    assert deliver_once(timezone.now()) == 0

    assert Delivery.objects.get().said == "Its name leads to a host of this lab."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hooks.example.org",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "https://",
        "https://user:word@hooks.example.org/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org/\n",
        "https://[::1/",
        "https://hooks.example.org/" + "x" * 500,
    ],
)
def test_wrong_addresses_are_refused(text: str, owner: User):
    if text.endswith("\n"):  # spaces around are not the user's meaning
        assert check_url(text) == text.strip()
        return
    with pytest.raises(WebhookRefused):
        set_webhook(owner, text)
    assert not NotificationChoice.objects.exists()


def test_answer_of_a_delivered_call_is_kept(hooked: User):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")

    deliver_once(timezone.now())

    assert Delivery.objects.get().said == "It answered 204."


def test_call_that_was_given_up_is_sent_again_with_its_number_and_all_attempts(
    hooked: User, receiver: Receiver
):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    Delivery.objects.update(status=STATUSES.FAILED, tries=5, said="It answered 500.")
    number = Delivery.objects.get().pk
    receiver.status = 503

    send_again(hooked, number)
    deliver_once(timezone.now())

    row = Delivery.objects.get()
    assert (row.pk, row.status, row.tries) == (number, STATUSES.WAITING, 1)
    assert row.next_at == row.due_at > timezone.now()
    ((headers, _),) = receiver.got
    assert headers["webhook-id"] == f"msg_{number}"


def test_call_that_is_not_over_is_not_sent_again(hooked: User):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")

    with pytest.raises(WebhookRefused, match="not over"):
        send_again(hooked, Delivery.objects.get().pk)


def test_nothing_is_sent_again_to_a_webhook_that_was_stopped(hooked: User):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    Delivery.objects.update(status=STATUSES.FAILED)
    NotificationChoice.objects.update(stopped_because="10 deliveries failed")

    with pytest.raises(WebhookRefused, match="Nothing is sent"):
        send_again(hooked, Delivery.objects.get().pk)


def test_call_of_another_user_is_not_sent_again(hooked: User, member: User):
    tell([hooked], Kind.RUN_ENDED, "Up of lab failed")
    Delivery.objects.update(status=STATUSES.FAILED)

    with pytest.raises(Delivery.DoesNotExist):
        send_again(member, Delivery.objects.get().pk)
