"""Copies files to and from a machine through the streams of its commands.

For transports that can run commands and have no other way to move files: SSH, because
guests with dropbear have no SFTP, and the QEMU guest agent. Copies are whole or not at
all, as in copying.py.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

from orchestration.errors import CommandFailed, HostUnreachable
from orchestration.transport.base import OnProgress, Scope, Transport, command
from orchestration.transport.files import copying

CLEAN_UP_S = 6.0


class StreamedFiles(Transport):
    """The half of a transport that copies files; `run` is the subclass's.

    A file is read and sent in pieces of `piece_bytes`.
    """

    piece_bytes: int

    def is_connected(self) -> bool:
        """Return whether a clean-up needs no new connection."""
        return True

    def put(
        self,
        source: Path | bytes,
        target: str,
        *,
        scope: Scope,
        mode: int = 0o644,
        as_root: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Copy a file or bytes to `target`; see Transport.put."""
        sending = copying.sending(
            source, target, mode=mode, piece_bytes=self.piece_bytes
        )
        with sending as sent:
            try:
                self.run(
                    replace(sent.receive, as_root=as_root),
                    scope=scope,
                    timeout_s=copying.COPY_TIMEOUT_S,
                    feed=copying.reported(sent.pieces, sent.total, on_progress),
                )
            except CommandFailed as exc:
                raise copying.put_failed(exc, target, self.machine) from exc
            except BaseException:
                self._remove(sent.part, as_root=as_root)
                raise

    def get(self, source: str, target: Path, *, scope: Scope) -> None:
        """Fetch one file, whole or not at all."""
        with copying.arriving(target.absolute()) as writer:
            try:
                self.run(
                    command("cat", "--", source),
                    scope=scope,
                    timeout_s=copying.COPY_TIMEOUT_S,
                    on_bytes=writer.write,
                )
            except CommandFailed as exc:
                raise copying.get_failed(exc, source, self.machine) from exc

    def _remove(self, part: str, *, as_root: bool) -> None:
        """Remove the partial file of a cancelled copy, if still connected."""
        if not self.is_connected():
            return
        remove = replace(command("rm", "-f", part), as_root=as_root)
        with contextlib.suppress(CommandFailed, HostUnreachable):
            self.run(remove, scope=Scope(), timeout_s=CLEAN_UP_S)
