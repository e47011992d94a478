"""The first rows: no key is trusted before it was confirmed, and no other afterwards."""

from socket import gaierror
from types import SimpleNamespace

import pytest

from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
    TestbedError,
)
from orchestration.transport.ssh.first_contact import HostKey, host_key_of
from orchestration.transport.ssh.login import reason_of
from testbed.hosts import contact as contacts
from testbed.hosts.contact import contact
from testbed.models import NewHost
from tests.orchestration.transport.conftest import keygen

LINE = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0q4Qh2xl0pBgvUh3KtpnCM5u2hGSZ5QSNR3d0o6X9a"
)
OTHER = LINE[:-2] + "9b"
KEY = host_key_of(LINE)


def new_host(**values: object) -> NewHost:
    fields = {"name": "host-b", "address": "192.0.2.7", "identity_file": "/no/key"}
    return NewHost(**(fields | values))


def shown() -> HostKey:
    return KEY


def never() -> HostKey:
    raise AssertionError("no key exchange is wanted")


def outcomes(found: contacts.Contact) -> list[str]:
    return [str(verdict.outcome) for verdict in found.verdicts.values()]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch):
    """Let the login fail: `refuse(error)`."""

    def make(error: TestbedError) -> None:
        def login(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(contacts, "require_login", login)

    return make


def test_name_that_is_not_known_is_mended_on_main() -> None:
    reason = reason_of(gaierror())

    def ask() -> HostKey:
        raise HostUnreachable(
            f"host-b (nosuch.invalid:22) cannot be reached over SSH: {reason}.",
            hint="Is the machine up?",
        )

    found = contact(new_host(address="nosuch.invalid"), ask, SimpleNamespace(), {})

    verdict = found.verdicts["ssh"]
    assert "its name is not known. Correct it in the DNS" in verdict.observed
    assert verdict.command == ""


def test_first_key_is_shown_and_not_trusted() -> None:
    found = contact(new_host(), shown, SimpleNamespace(), {})

    assert outcomes(found) == ["ok", "lacking", "skipped"]
    assert f"ssh-ed25519 {KEY.fingerprint} is to be confirmed" in (
        found.verdicts["host_key"].observed
    )
    assert found.verdicts["host_key"].command == (
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    )
    assert found.seen_key == LINE


def test_key_that_changes_before_it_is_confirmed_is_said() -> None:
    found = contact(new_host(seen_key=OTHER), shown, SimpleNamespace(), {})

    was = host_key_of(OTHER).fingerprint
    assert f"Before, it answered with ssh-ed25519 {was}" in (
        found.verdicts["host_key"].observed
    )


def test_key_of_another_host_cannot_be_confirmed() -> None:
    found = contact(new_host(), shown, SimpleNamespace(), {LINE: "host-a"})

    assert "host-a has the same key" in found.verdicts["host_key"].observed
    assert found.seen_key == ""


def test_silent_host_has_one_row_that_says_so() -> None:
    def ask() -> HostKey:
        raise HostUnreachable("host-b cannot be reached.", hint="Is it up?")

    found = contact(new_host(), ask, SimpleNamespace(), {})

    assert outcomes(found) == ["lacking", "skipped", "skipped"]
    assert found.verdicts["ssh"].observed == "host-b cannot be reached. Is it up?"


def test_other_key_than_the_confirmed_one_is_refused(refuse) -> None:
    refuse(HostKeyMismatch("another", detail="expected SHA256:a\nseen SHA256:b"))

    found = contact(new_host(host_key=LINE), never, SimpleNamespace(), {})

    assert outcomes(found) == ["ok", "lacking", "skipped"]
    assert f"than the confirmed {KEY.fingerprint}: SHA256:b." in (
        found.verdicts["host_key"].observed
    )
    assert found.seen_key == ""


def test_refused_login_is_mended_by_the_public_key(refuse, tmp_path) -> None:
    line = keygen(tmp_path / "id")
    refuse(AuthenticationRefused("host-b does not let lab in."))
    new = new_host(host_key=LINE, user="lab", identity_file=str(tmp_path / "id"))

    login = contact(new, never, SimpleNamespace(), {}).verdicts["login"]

    assert f"echo '{line} testbed-main' >> ~lab/.ssh/authorized_keys" in login.command
    assert not login.on_main


def test_missing_key_on_main_is_made_there(refuse) -> None:
    refuse(AuthenticationRefused("The key cannot be read."))
    new = new_host(host_key=LINE, identity_file="/no/my key")

    login = contact(new, never, SimpleNamespace(), {}).verdicts["login"]

    assert login.on_main
    assert login.command == (
        "install -d -m 700 /no && ssh-keygen -t ed25519 -N '' -f '/no/my key'"
    )


def test_main_needs_no_contact() -> None:
    found = contact(new_host(is_main=True), never, SimpleNamespace(), {})

    assert outcomes(found) == ["ok", "ok", "ok"]
