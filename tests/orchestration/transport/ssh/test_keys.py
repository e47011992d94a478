"""Keys of connections to a real sshd: the host's is pinned, ours may be refused.

A key that cannot be read or that the server has not is never taken for any other.
"""

import subprocess

import pytest

from orchestration.errors import AuthenticationRefused, HostKeyMismatch
from orchestration.transport.base import command
from tests.orchestration.transport.conftest import keygen


def test_another_host_key_is_refused_with_both_fingerprints(server, scope, tmp_path):
    pinned = keygen(tmp_path / "other")

    with pytest.raises(HostKeyMismatch, match="another host key") as refused:
        server.transport(host_key=pinned).run(command("true"), scope=scope)

    for key in (pinned, server.host_key):
        (tmp_path / "one.pub").write_text(key + "\n")
        shown = subprocess.run(
            ["ssh-keygen", "-lf", tmp_path / "one.pub"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert shown.split()[1] in refused.value.detail


def test_host_key_of_a_type_that_the_server_has_not(server, scope, tmp_path):
    path = tmp_path / "ecdsa"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", path], check=True
    )
    pinned = path.with_suffix(".pub").read_text()

    with pytest.raises(HostKeyMismatch, match="another host key"):
        server.transport(host_key=pinned).run(command("true"), scope=scope)


def test_unreadable_pin_is_never_taken_for_any_key(server, scope):
    with pytest.raises(HostKeyMismatch, match="cannot be read"):
        server.transport(host_key="").run(command("true"), scope=scope)


def test_refused_key_is_an_authentication_error(server, scope, tmp_path):
    keygen(tmp_path / "stranger")

    with pytest.raises(AuthenticationRefused, match="does not let root in"):
        server.transport(identity_file=tmp_path / "stranger").run(
            command("true"), scope=scope
        )
