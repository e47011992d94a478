"""Brings an edited context into an existing guest.

A guest's first boot unpacks its context from its seed, once. Later edits come over the
connection; they do not make scripts run again.
"""

from orchestration.errors import GuestUnreachable, HostUnreachable
from orchestration.instructions.task import Task
from orchestration.project.contexts import context_archive
from orchestration.project.digests import digest_of_context
from orchestration.providers.guest.context import (
    exchange_context,
    read_context_digest,
)
from orchestration.state.model import GuestState
from orchestration.transport.base import Transport


def renew_context(task: Task, guest: GuestState, transport: Transport) -> str:
    """Copy the context when the guest has another one; return what was done.

    Raises: PathOutside, ImageFailed, CommandFailed, GuestUnreachable.
    """
    if not guest.context:
        return ""
    digest = digest_of_context(task.project.files, guest.context)
    if guest.markers.context == digest:
        return ""
    try:
        is_copied = _exchange(task, transport, guest.context, digest)
    except HostUnreachable as exc:
        raise GuestUnreachable(
            f"Guest {guest.name} on {guest.host} was lost while its context was copied.",
            hint="Look at its console, then start up again.",
            detail=exc.message,
            retryable=True,
        ) from exc
    task.project.mark(guest.name, context=digest)
    return f"copied context {guest.context}" if is_copied else ""


def _exchange(task: Task, transport: Transport, context: str, digest: str) -> bool:
    """Exchange the context, unless the guest already has it, as from its seed."""
    if read_context_digest(transport, scope=task.scope) == digest:
        return False
    root = task.project.files.resolve()
    archive = context_archive(task.project.file(context), root)
    exchange_context(transport, archive, digest, scope=task.scope)
    task.log(f"copied context {context}")
    return True
