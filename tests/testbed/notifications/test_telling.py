"""Users are told of what concerns them, in the ways that they chose."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from testbed.models import (
    Delivery,
    Host,
    HostSilence,
    Notification,
    NotificationChoice,
    ObservedGuest,
    Run,
    Share,
    Testbed,
)
from testbed.models.notifications.choices import Channel, Kind
from testbed.models.runs import SYSTEM
from testbed.notifications.telling import LONG, SILENCE, tell, watch_hosts
from testbed.runs.outcome import finish_run
from tests.testbed.conftest import MakeRun, ShareWith

HOOK = "https://hooks.example.org/lab"


def told(user: User) -> list[str]:
    return list(Notification.objects.filter(user=user).values_list("title", flat=True))


@pytest.fixture
def long_run(make_run: MakeRun) -> Run:
    run = make_run()
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - LONG)
    return run


def test_long_run_is_told_to_the_user_who_asked_for_it(long_run: Run, owner: User):
    finish_run(long_run.pk, Run.Status.SUCCEEDED)

    (row,) = Notification.objects.all()
    assert (row.user, row.kind) == (owner, Kind.RUN_ENDED)
    assert row.title == f"{long_run.name} of lab succeeded"
    assert row.path == f"/runs/{long_run.pk}/"
    assert row.data == {
        "testbed": "lab",
        "key": "lab",
        "run": long_run.pk,
        "status": "succeeded",
        "command": long_run.command,
        "by": "olive",
    }
    assert not Delivery.objects.exists()


def test_user_of_anothers_testbed_is_told_its_account(
    long_run: Run, share: ShareWith, testbed: Testbed
):
    operator = share(testbed, "operator")
    Run.objects.filter(pk=long_run.pk).update(asked_by=operator)

    finish_run(long_run.pk, Run.Status.FAILED)

    (row,) = Notification.objects.filter(user=operator)
    assert row.title == f"{long_run.name} of olive/lab failed"
    assert (row.data["testbed"], row.data["key"]) == ("olive/lab", "lab")


def test_short_run_is_told_only_when_it_failed(make_run: MakeRun, owner: User):
    finish_run(make_run().pk, Run.Status.SUCCEEDED)
    assert told(owner) == []

    run = make_run()
    finish_run(run.pk, Run.Status.FAILED)
    assert told(owner) == [f"{run.name} of lab failed"]


def test_owner_who_chose_so_is_told_of_each_run_of_any_user(
    make_run: MakeRun, owner: User, share: ShareWith, testbed: Testbed
):
    channels = {Kind.EVERY_RUN: [Channel.WEBHOOK]}
    NotificationChoice.objects.create(user=owner, channels=channels, webhook_url=HOOK)
    operator = share(testbed, "operator")
    run = make_run()
    Run.objects.filter(pk=run.pk).update(asked_by=operator)

    finish_run(run.pk, Run.Status.SUCCEEDED)

    (row,) = Notification.objects.all()
    assert (row.user, row.kind) == (owner, Kind.EVERY_RUN)
    assert (row.data["by"], row.data["testbed"]) == ("a-operator", "lab")
    assert row.deliveries.get().channel == Channel.WEBHOOK


def test_run_that_the_user_cancelled_is_not_told(long_run: Run, owner: User):
    Run.objects.filter(pk=long_run.pk).update(cancel_requested_by=owner)

    finish_run(long_run.pk, Run.Status.CANCELLED)

    assert told(owner) == []


def test_run_that_another_user_cancelled_is_told(
    long_run: Run, owner: User, admin: User
):
    Run.objects.filter(pk=long_run.pk).update(cancel_requested_by=admin)

    finish_run(long_run.pk, Run.Status.CANCELLED)

    assert told(owner) == [f"{long_run.name} of lab was cancelled"]


def test_run_of_the_system_is_told_to_the_owner_when_it_failed(
    make_run: MakeRun, owner: User
):
    good, bad = make_run(), None
    Run.objects.filter(pk=good.pk).update(
        asked_as=SYSTEM, created_at=timezone.now() - LONG
    )
    finish_run(good.pk, Run.Status.SUCCEEDED)
    assert told(owner) == []

    bad = make_run()
    Run.objects.filter(pk=bad.pk).update(asked_as=SYSTEM)
    finish_run(bad.pk, Run.Status.FAILED)
    assert told(owner) == [f"{bad.name} of lab failed"]


def test_user_who_lost_the_share_is_told_nothing(
    long_run: Run, share: ShareWith, testbed: Testbed
):
    operator = share(testbed, "operator")
    Run.objects.filter(pk=long_run.pk).update(asked_by=operator)
    Share.objects.all().delete()

    finish_run(long_run.pk, Run.Status.FAILED)

    assert told(operator) == []


def test_user_who_may_not_sign_in_is_told_nothing(owner: User):
    owner.is_active = False

    assert tell([owner], Kind.RUN_ENDED, "It ended") == 0


def test_ways_are_those_that_the_user_chose(
    owner: User, member: User, settings: object
):
    settings.EMAIL_HOST, owner.email = "mail.example", "olive@lab.example"
    NotificationChoice.objects.create(
        user=owner,
        channels={Kind.RUN_ENDED: [Channel.MAIL, Channel.WEBHOOK], Kind.END_NEAR: []},
        webhook_url=HOOK,
    )

    assert tell([owner, member], Kind.RUN_ENDED, "It ended") == 2
    assert tell([owner], Kind.END_NEAR, "It ends") == 0

    ways = Delivery.objects.filter(notification__user=owner)
    assert set(ways.values_list("channel", flat=True)) == {"mail", "webhook"}
    assert not Delivery.objects.filter(notification__user=member).exists()


def test_webhook_that_was_stopped_gets_nothing(owner: User):
    NotificationChoice.objects.create(
        user=owner,
        channels={Kind.RUN_ENDED: [Channel.WEBHOOK]},
        webhook_url=HOOK,
        stopped_because="It took nothing.",
    )

    assert tell([owner], Kind.RUN_ENDED, "It ended") == 0


def test_long_texts_are_cut(owner: User):
    tell([owner], Kind.RUN_ENDED, "t" * 5000, text="x" * 5000)

    row = Notification.objects.get()
    assert (len(row.title), len(row.text)) == (200, 1000)


@pytest.fixture
def silent(generated: Testbed, hosts: tuple[Host, Host]) -> Host:
    """A host that has not answered for long, with a guest of the testbed."""
    host = hosts[1]
    Host.objects.filter(pk=host.pk).update(problem="No route to host.")
    ObservedGuest.objects.create(
        testbed=generated,
        name="db",
        host=host.name,
        status="running",
        observed_at=timezone.now(),
    )
    since = timezone.now() - SILENCE - timedelta(seconds=1)
    HostSilence.objects.create(host=host, since=since)
    return host


def test_host_that_went_away_is_told_once(silent: Host, owner: User, admin: User):
    assert watch_hosts() == 2
    assert watch_hosts() == 0

    row = Notification.objects.get(user=owner)
    assert row.title == "Host host-b has not answered for 3 min"
    assert row.text == "It has guests of lab. No route to host."
    assert row.data == {"host": "host-b", "answers": False, "testbeds": ["lab"]}
    assert Notification.objects.get(user=admin).text == "No route to host."


def test_host_that_is_back_is_told_to_the_same_users(
    silent: Host, owner: User, admin: User
):
    watch_hosts()
    Host.objects.update(problem="")

    assert watch_hosts() == 2
    assert told(owner)[0] == told(admin)[0] == "Host host-b answers again"
    assert not HostSilence.objects.exists()


def test_host_that_is_away_for_a_moment_is_told_to_nobody(
    hosts: tuple[Host, Host], admin: User
):
    Host.objects.filter(pk=hosts[1].pk).update(problem="No route to host.")
    assert watch_hosts() == 0
    Host.objects.update(problem="")
    assert watch_hosts() == 0

    assert told(admin) == []


def test_clock_that_was_set_back_does_not_hide_a_silence(silent: Host, admin: User):
    HostSilence.objects.update(since=timezone.now() + timedelta(hours=5))

    assert watch_hosts() > 0
    assert told(admin) == ["Host host-b has not answered for 1 min"]


def test_old_and_surplus_notifications_are_forgotten(owner: User, member: User):
    now = timezone.now()
    Notification.objects.bulk_create(
        Notification(user=owner, kind=Kind.END_NEAR, title=str(number))
        for number in range(203)
    )
    Notification.objects.create(
        user=member, kind=Kind.TEST, title="old", at=now - timedelta(days=31)
    )

    Notification.objects.forget(now - timedelta(days=30))

    assert told(member) == []
    assert told(owner) == [str(number) for number in range(202, 2, -1)]
