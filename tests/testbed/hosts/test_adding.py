"""A new host from its first contact to a row that testbeds use; the machine is ours."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from orchestration.errors import (
    HostKeyMismatch,
    HostUnreachable,
    StateError,
    TestbedBusy,
)
from testbed.hosts import adding
from testbed.hosts.adding import (
    ask_for_check,
    check_new_host,
    confirm_key,
    may_be_added,
    rows_of,
    send_checks_again,
)
from testbed.hosts.contact import Contact
from testbed.hosts.requirements import CONTACT, REQUIREMENTS, Verdict, lacking, ok
from testbed.models import Entry, Host, HostFinding, NewHost
from tests.testbed.hosts.test_contact import KEY, LINE, OTHER

Faults = dict[str, Verdict]


@pytest.fixture
def faults() -> Faults:
    """The verdicts of the next check that differ, by requirement."""
    return {}


@pytest.fixture
def new(
    db: None, settings: object, tmp_path: object, monkeypatch, faults: Faults, doors
) -> NewHost:
    """A new host, whose worker finds what `faults` says."""
    settings.RUNTIME_DIR = tmp_path

    def contact(new: NewHost, *_: object) -> Contact:
        if not new.host_key:
            rows = dict(
                zip(CONTACT, (ok("x"), lacking("y"), lacking("z")), strict=True)
            )
            return Contact(rows, LINE)
        return Contact({key: faults.get(key) or ok("fine") for key in CONTACT})

    def check(site: object, wanted: str, known: object) -> Iterator[object]:
        for one in REQUIREMENTS:
            if one.key not in CONTACT:
                yield one, faults.get(one.key) or ok("fine")

    def add_host(host: Host) -> Host:
        if fault := faults.get("add"):
            raise HostUnreachable(fault.observed)
        host.save()
        return host

    monkeypatch.setattr(adding, "contact", contact)
    monkeypatch.setattr(adding, "check", check)
    monkeypatch.setattr(adding, "add_host", add_host)
    monkeypatch.setattr(adding, "_identity_here", lambda: "here")
    return NewHost.objects.create(
        name="host-b", address="192.0.2.7", identity_file="/etc/key", begun_by="ada"
    )


def checked(new: NewHost, wanted: str = "") -> NewHost:
    """Let a worker do what is asked for, and return the row."""
    ask_for_check(new, wanted, "ada")
    check_new_host(new.pk)
    new.refresh_from_db()
    return new


@pytest.fixture
def confirmed(new: NewHost) -> NewHost:
    """The new host, with its key confirmed and everything found."""
    checked(new)
    confirm_key(new, KEY.fingerprint, "ada")
    check_new_host(new.pk)
    new.refresh_from_db()
    return new


def test_first_check_keeps_the_key_and_trusts_nothing(new: NewHost) -> None:
    checked(new)

    assert (new.seen_key, new.host_key, new.status) == (LINE, "", "idle")
    assert not may_be_added(rows_of(new))
    assert not Host.objects.exists()


def test_confirmed_key_is_pinned_and_the_rest_is_checked(confirmed: NewHost) -> None:
    assert (confirmed.host_key, confirmed.confirmed_by) == (LINE, "ada")
    assert may_be_added(rows_of(confirmed))


def test_key_that_changed_since_it_was_shown_is_not_pinned(new: NewHost) -> None:
    checked(new)
    NewHost.objects.update(seen_key=OTHER)
    new.refresh_from_db()

    with pytest.raises(HostKeyMismatch):
        confirm_key(new, KEY.fingerprint, "ada")

    assert NewHost.objects.get().host_key == ""


def test_confirmed_key_is_not_replaced_by_a_second_confirmation(
    confirmed: NewHost,
) -> None:
    NewHost.objects.update(seen_key=OTHER)
    confirmed.refresh_from_db()

    with pytest.raises(StateError, match="was confirmed already, by ada: ssh-ed25519"):
        confirm_key(confirmed, adding.host_key_of(OTHER).fingerprint, "bob")

    assert NewHost.objects.get().host_key == LINE


def test_key_that_changes_between_page_and_click_is_refused(new: NewHost) -> None:
    checked(new)
    NewHost.objects.update(seen_key=OTHER)  # `new` is as the view read it

    with pytest.raises(HostKeyMismatch, match="another key just now"):
        confirm_key(new, KEY.fingerprint, "ada")

    assert NewHost.objects.get().host_key == ""


def test_host_that_was_discarded_meanwhile_is_named(new: NewHost) -> None:
    checked(new)
    NewHost.objects.all().delete()

    with pytest.raises(StateError, match="host-b is not being added any more"):
        confirm_key(new, KEY.fingerprint, "ada")


def test_key_that_is_confirmed_during_a_check_is_checked_after_it(
    new: NewHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked(new)
    first = adding.contact

    def confirmed_meanwhile(row: NewHost, *more: object) -> Contact:
        if not NewHost.objects.get().host_key:
            confirm_key(NewHost.objects.get(), KEY.fingerprint, "bob")
        return first(row, *more)

    monkeypatch.setattr(adding, "contact", confirmed_meanwhile)
    checked(new)

    assert (new.status, new.wanted) == ("pending", NewHost.ALL)
    assert new.asked_by == "bob"


def test_host_serves_no_testbed_before_it_is_added(confirmed: NewHost) -> None:
    assert not Host.objects.exists()

    ask_for_check(confirmed, NewHost.ADD, "ada")
    check_new_host(confirmed.pk)

    host = Host.objects.get()
    assert (host.name, host.host_key, host.address) == ("host-b", LINE, "192.0.2.7")
    assert not NewHost.objects.exists()
    entry = Entry.objects.get()
    assert (entry.user, entry.act, entry.thing) == ("ada", "hosts", "host host-b")


def test_requirement_that_is_lacking_by_now_keeps_it_out(
    confirmed: NewHost, faults: Faults
) -> None:
    faults["ovs"] = lacking("stopped", "systemctl start it")

    checked(confirmed, NewHost.ADD)

    assert "something that it needs is lacking" in confirmed.message
    assert not Host.objects.exists()
    row = HostFinding.objects.get(requirement="ovs")
    assert (row.outcome, row.command) == ("lacking", "systemctl start it")


def test_optional_requirement_keeps_nothing_out(
    confirmed: NewHost, faults: Faults
) -> None:
    faults["kvm"] = lacking("no /dev/kvm")

    ask_for_check(confirmed, NewHost.ADD, "ada")
    check_new_host(confirmed.pk)

    assert Host.objects.exists()


def test_host_that_fails_at_the_last_moment_is_not_added(
    confirmed: NewHost, faults: Faults
) -> None:
    faults["add"] = lacking("It went away.")

    checked(confirmed, NewHost.ADD)

    assert confirmed.message == "host-b was not added: It went away."
    assert confirmed.status == "idle"


def test_name_that_another_host_has_by_now_is_said(confirmed: NewHost) -> None:
    Host.objects.create(name="host-b")

    checked(confirmed, NewHost.ADD)

    assert "already exists" in confirmed.message


def test_words_of_the_host_have_no_control_characters_and_an_end(
    confirmed: NewHost, faults: Faults
) -> None:
    faults["machine"] = ok("\x1b[2J\x07evil\u202e\n" + "x" * 100_000)

    checked(confirmed)

    observed = HostFinding.objects.get(requirement="machine").observed
    assert observed.startswith("␇evil<U+202E>")
    assert len(observed) == 1000


def test_one_check_at_a_time(new: NewHost) -> None:
    ask_for_check(new, "", "ada")

    with pytest.raises(TestbedBusy, match="is being checked already"):
        ask_for_check(new, "", "bob")


def test_message_that_arrives_twice_does_no_harm(new: NewHost) -> None:
    checked(new)

    check_new_host(new.pk)
    check_new_host(new.pk + 1)

    assert NewHost.objects.get().status == "idle"


def test_unexpected_error_ends_the_check_with_a_sentence(
    new: NewHost, monkeypatch
) -> None:
    monkeypatch.setattr(adding, "_identity_here", partial(int, "none"))
    ask_for_check(new, "", "ada")

    with pytest.raises(ValueError, match="none"):
        check_new_host(new.pk)

    new.refresh_from_db()
    assert (new.status, "unexpected error" in new.message) == ("idle", True)


def test_check_without_a_worker_is_sent_again_and_a_lost_one_ended(
    new: NewHost, monkeypatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(adding, "request_host_check", sent.append)
    past = timezone.now() - timedelta(minutes=10)
    NewHost.objects.update(status="pending", asked_at=past)
    assert send_checks_again() == 1
    assert sent == [new.pk]

    NewHost.objects.update(status="running", started_at=past)
    assert send_checks_again() == 1
    new.refresh_from_db()
    assert (new.status, "was lost" in new.message) == ("idle", True)


def test_worker_that_was_taken_for_lost_ends_no_later_check(new: NewHost) -> None:
    ask_for_check(new, "", "ada")
    lost = NewHost.objects.get()
    lost.claim()
    NewHost.objects.update(started_at=timezone.now() - timedelta(minutes=10))
    ask_for_check(new, "", "bob")

    lost.finish("late")

    assert NewHost.objects.get().status == "pending"
