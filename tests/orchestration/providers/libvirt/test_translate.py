"""libvirt's codes and texts in the words of our users."""

import libvirt
import pytest

from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
)
from orchestration.providers.libvirt.translate import call_failed, open_failed

SSH = "Cannot recv data: {}: Connection reset by peer"


def failure(code: int, text: str) -> libvirt.libvirtError:
    error = libvirt.libvirtError(text)
    error.err = (code, libvirt.VIR_FROM_RPC, text, 2, None, None, None, -1, -1)
    return error


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        (
            SSH.format("Host key verification failed."),
            HostKeyMismatch,
            "pin its new key",
        ),
        (
            SSH.format("lab@192.0.2.7: Permission denied (publickey)."),
            AuthenticationRefused,
            "authorized_keys",
        ),
        (
            "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied",
            AuthenticationRefused,
            "group libvirt",
        ),
        (
            "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file",
            HostUnreachable,
            "Start libvirtd",
        ),
        (SSH.format("Connection timed out"), HostUnreachable, "answers on SSH"),
    ],
)
def test_reason_of_a_failed_opening_is_named(
    text: str, kind: type[HostUnreachable], hint: str
) -> None:
    error = open_failed(failure(libvirt.VIR_ERR_SYSTEM_ERROR, text), machine="host-b")

    assert type(error) is kind
    assert "host-b" in error.message
    assert hint in error.hint
    assert error.detail == text


def test_polkit_refusal_is_about_the_login() -> None:
    refused = failure(libvirt.VIR_ERR_AUTH_UNAVAILABLE, "no polkit agent available")

    assert type(open_failed(refused, machine="host-b")) is AuthenticationRefused


@pytest.mark.parametrize(
    ("code", "text", "hint"),
    [
        (
            libvirt.VIR_ERR_INTERNAL_ERROR,
            "Could not open '/lab/web.qcow2': Permission denied",
            "read /lab/web.qcow2 there",
        ),
        (
            libvirt.VIR_ERR_SYSTEM_ERROR,
            "Cannot access storage file '/lab/a.img' (as uid:4, gid:9): Permission denied",
            "read /lab/a.img there",
        ),
        (
            libvirt.VIR_ERR_INTERNAL_ERROR,
            "Could not access KVM kernel module: Permission denied",
            "Acceleration does not work",
        ),
        (libvirt.VIR_ERR_NO_NETWORK, "Network not found: 'lab-mgmt'", "run up"),
        (
            libvirt.VIR_ERR_INTERNAL_ERROR,
            'Failed to get "write" lock',
            "Another process",
        ),
        (
            libvirt.VIR_ERR_OPERATION_FAILED,
            "domain 'x' already exists with uuid 1",
            "this name",
        ),
        (libvirt.VIR_ERR_INTERNAL_ERROR, "something never seen", ""),
    ],
)
def test_known_failures_come_with_a_hint(code: int, text: str, hint: str) -> None:
    error = call_failed(failure(code, text), what="start domain x", machine="host-b")

    assert error.message == "libvirt on host host-b could not start domain x."
    assert hint in error.hint
    assert bool(error.hint) is bool(hint)


def test_only_a_busy_domain_is_worth_another_try() -> None:
    def retryable(code: int) -> bool:
        error = call_failed(failure(code, "x"), what="stop domain x", machine="host-b")
        return error.retryable

    assert retryable(libvirt.VIR_ERR_OPERATION_TIMEOUT)
    assert not retryable(libvirt.VIR_ERR_INTERNAL_ERROR)
