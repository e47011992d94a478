"""Translates libvirtError into our errors: the only module with libvirt's codes.

Only `connection` imports it, for every failure. libvirt reports the messages of ssh
inside its own text, so a few of those are known here too; `hints` has the advice for
messages of QEMU and other programs. The text itself always travels in `detail`.
"""

import errno
import os

import libvirt

from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
    LibvirtFailed,
)
from orchestration.providers.libvirt.hints import hint_for

_HINTS = {
    libvirt.VIR_ERR_NO_DOMAIN: "The guest is not defined there: run up.",
    libvirt.VIR_ERR_NO_NETWORK: "The network is not defined there: run up.",
    libvirt.VIR_ERR_NO_SUPPORT: "This libvirt is too old, or of another kind.",
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: "QEMU on this host lacks what is asked for.",
    libvirt.VIR_ERR_XML_ERROR: "Generate the artefacts again.",
    libvirt.VIR_ERR_XML_INVALID_SCHEMA: "Generate the artefacts again.",
    libvirt.VIR_ERR_OPERATION_TIMEOUT: "The guest is busy with another operation.",
    libvirt.VIR_ERR_ACCESS_DENIED: "Use a login that may manage all guests.",
}

_REFUSED = frozenset(
    {
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    }
)
_LOST = frozenset(
    {
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_NO_CONNECT,
    }
)

_KEY_CHANGED = (
    "host key verification failed",
    "identification has changed",
    # ssh's warning is longer than libvirt's buffer for it, none of its other messages
    # is (our LogLevel keeps login banners away): libvirt then reports the overflow.
    os.strerror(errno.EOVERFLOW).lower(),
)

_GROUP_HINT = "Log in as root, or add the login to the group libvirt of that host."


def is_connection_lost(error: libvirt.libvirtError, handle: libvirt.virConnect) -> bool:
    """Return whether the connection is dead, in contrast to a refused call."""
    if error.get_error_code() not in _LOST:
        return False
    try:
        return bool(handle.isAlive() != 1)
    except libvirt.libvirtError:
        return True


def open_failed(error: libvirt.libvirtError, *, machine: str) -> HostUnreachable:
    """Return why there is no connection: the key, the login, or the daemon."""
    text = str(error)
    words = text.lower()
    if any(sign in words for sign in _KEY_CHANGED):
        return HostKeyMismatch(
            f"Host {machine} answered with another SSH key than the pinned one.",
            hint="If the host was reinstalled, let an admin pin its new key.",
            detail=text,
        )
    if "permission denied (" in words or "too many authentication failures" in words:
        return AuthenticationRefused(
            f"Host {machine} refused our SSH key.",
            hint="Add the host's public key to authorized_keys of its login.",
            detail=text,
        )
    if _is_refused(error, words):
        return AuthenticationRefused(
            f"libvirt on host {machine} refused our login.",
            hint=_GROUP_HINT,
            detail=text,
        )
    return HostUnreachable(
        f"libvirt on host {machine} does not answer.",
        hint="Start libvirtd there, and look whether the host answers on SSH.",
        detail=text,
        retryable=True,
    )


def call_failed(
    error: libvirt.libvirtError, *, what: str, machine: str
) -> LibvirtFailed:
    """Return the error of a call that libvirt refused or failed to do."""
    text = str(error)
    code = error.get_error_code()
    return LibvirtFailed(
        f"libvirt on host {machine} could not {what}.",
        hint=_hint(code, text),
        detail=text,
        retryable=code == libvirt.VIR_ERR_OPERATION_TIMEOUT,
    )


def _is_refused(error: libvirt.libvirtError, words: str) -> bool:
    if error.get_error_code() in _REFUSED:
        return True
    return "permission denied" in words and "socket" in words


def _hint(code: int | None, text: str) -> str:
    if hint := hint_for(text):
        return hint
    return _HINTS.get(code, "") if code is not None else ""
