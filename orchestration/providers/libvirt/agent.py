"""Asks the QEMU guest agent of a domain through libvirt, on a channel without network.

`transport/agent.py` makes commands and files of it. The answers are the guest's words:
libvirt bounds their size, and every caller checks what it takes from them.
"""

import json
from collections.abc import Mapping

import libvirt_qemu

from orchestration.errors import HostUnreachable, LibvirtFailed
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain, call_on

ANSWER_TIMEOUT_S = 10
# A freeze writes out all that waits for the disk; others stand still meanwhile.
FREEZE_TIMEOUT_S = 5


def ask(
    conn: Connection,
    guest: GuestDomain,
    name: str,
    arguments: Mapping[str, object],
    *,
    timeout_s: int = ANSWER_TIMEOUT_S,
) -> object:
    """Send one command to the agent and return its result, whatever that is.

    Raises: HostUnreachable (no agent answers, or it refuses the command).
    """
    request = json.dumps({"execute": name, "arguments": arguments})
    try:
        text = call_on(
            conn,
            guest,
            f"ask the agent of guest {guest.guest}",
            lambda d: libvirt_qemu.qemuAgentCommand(d, request, timeout_s, 0),
            changes=True,
        )
        found = json.loads(text)
    except (LibvirtFailed, ValueError, RecursionError) as exc:
        raise HostUnreachable(
            f"No QEMU guest agent answers in guest {guest.guest}.",
            hint="Install qemu-guest-agent in it, or log in on its console.",
            detail=str(exc)[:2000],
        ) from exc
    return found.get("return") if isinstance(found, dict) else None


def freeze(conn: Connection, guest: GuestDomain) -> int:
    """Have the guest's file systems written out, and held until `thaw`.

    Returns the number that the agent holds: it skips those that cannot be. Raises: HostUnreachable (it did not within seconds; it may do so later).
    """
    told = ask(conn, guest, "guest-fsfreeze-freeze", {}, timeout_s=FREEZE_TIMEOUT_S)
    return told if isinstance(told, int) else 0


def thaw(conn: Connection, guest: GuestDomain) -> None:
    """Let the guest write again; harmless when it may. Raises: HostUnreachable."""
    ask(conn, guest, "guest-fsfreeze-thaw", {})
