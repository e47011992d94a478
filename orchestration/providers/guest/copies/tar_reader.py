"""Reads a tar stream of a guest as it comes, piece by piece, and believes nothing of it.

`tarfile` parses each header block. Its own reader is not used: it keeps names of any
length and trees of headers in memory, which a guest may send for ever. Sparse files are
refused, because their header alone would decide how large they become.
"""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from orchestration.errors import ArchiveRefused

BLOCK_BYTES = tarfile.BLOCKSIZE
MOST_NAME_BYTES = 4096
MOST_PAX_BYTES = 64 * 1024
# A name, a link's target and an extended header come before an entry.
MOST_TEXTS = 3
_ENCODING, _ERRORS = "utf-8", "surrogateescape"
_TEXTS = {
    tarfile.GNUTYPE_LONGNAME: MOST_NAME_BYTES,
    tarfile.GNUTYPE_LONGLINK: MOST_NAME_BYTES,
    tarfile.XHDTYPE: MOST_PAX_BYTES,
    tarfile.XGLTYPE: MOST_PAX_BYTES,
    tarfile.SOLARIS_XHDTYPE: MOST_PAX_BYTES,
}


class EntryKind(StrEnum):
    """The kinds of an archive's entries."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symbolic link"
    HARD_LINK = "hard link"
    OTHER = "special file"


_KINDS = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.AREGTYPE: EntryKind.FILE,
    tarfile.CONTTYPE: EntryKind.FILE,
    tarfile.DIRTYPE: EntryKind.FOLDER,
    tarfile.SYMTYPE: EntryKind.SYMLINK,
    tarfile.LNKTYPE: EntryKind.HARD_LINK,
    tarfile.CHRTYPE: EntryKind.OTHER,
    tarfile.BLKTYPE: EntryKind.OTHER,
    tarfile.FIFOTYPE: EntryKind.OTHER,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as its header describes it; the texts may hold anything."""

    kind: EntryKind
    name: str
    size_bytes: int
    mode: int
    mtime_s: int
    target: str = ""


class TarReader:
    """Takes bytes in any pieces; calls `on_entry`, then `on_data` for a file's content.

    `is_complete` is true after the end mark. Raises: ArchiveRefused, and the errors of
    the callbacks.
    """

    def __init__(
        self, on_entry: Callable[[Entry], None], on_data: Callable[[bytes], None]
    ) -> None:
        self._on_entry = on_entry
        self._on_data = on_data
        self._state: Callable[[memoryview], int] = self._take_header
        self._block = bytearray()
        self._left = self._padding = 0
        self._header = tarfile.TarInfo()
        self._said: dict[str, str] = {}
        self._texts = 0
        self.is_complete = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            view = view[self._state(view) :]

    def _take_header(self, view: memoryview) -> int:
        taken = view[: BLOCK_BYTES - len(self._block)]
        self._block += taken
        if len(self._block) == BLOCK_BYTES:
            block = bytes(self._block)
            self._block.clear()
            self._begin(block)
        return len(taken)

    def _begin(self, block: bytes) -> None:
        if not any(block):
            self.is_complete = True
            self._state = len  # what follows is padding
            return
        info = self._header = _parsed(block)
        if info.type in _TEXTS:
            self._begin_text(info)
            return
        entry = self._entry(info)
        self._said.clear()
        self._texts = 0
        # Links and folders have no content, whatever their size says.
        has_content = entry.kind is EntryKind.FILE
        self._left = entry.size_bytes if has_content else 0
        self._padding = -self._left % BLOCK_BYTES
        self._on_entry(entry)
        self._state = self._take_content if self._left else self._take_header

    def _begin_text(self, info: tarfile.TarInfo) -> None:
        if not 0 < info.size <= _TEXTS[info.type]:
            raise ArchiveRefused(f"a name or header of {info.size} bytes")
        self._texts += 1
        if self._texts > MOST_TEXTS:
            raise ArchiveRefused("more headers than entries")
        self._left, self._padding = info.size, -info.size % BLOCK_BYTES
        self._state = self._take_text

    def _take_text(self, view: memoryview) -> int:
        taken = view[: self._left]
        self._block += taken
        self._left -= len(taken)
        if not self._left:
            self._keep_text(self._header.type, bytes(self._block))
            self._block.clear()
            self._state = self._take_padding if self._padding else self._take_header
        return len(taken)

    def _keep_text(self, kind: bytes, data: bytes) -> None:
        text = data.rstrip(b"\0").decode(_ENCODING, _ERRORS)
        if kind == tarfile.GNUTYPE_LONGNAME:
            self._said["path"] = text
        elif kind == tarfile.GNUTYPE_LONGLINK:
            self._said["linkpath"] = text
        elif kind != tarfile.XGLTYPE:
            self._said.update(_pax(data))

    def _take_content(self, view: memoryview) -> int:
        taken = view[: self._left]
        self._on_data(bytes(taken))
        self._left -= len(taken)
        if not self._left:
            self._state = self._take_padding if self._padding else self._take_header
        return len(taken)

    def _take_padding(self, view: memoryview) -> int:
        taken = len(view[: self._padding])
        self._padding -= taken
        if not self._padding:
            self._state = self._take_header
        return taken

    def _entry(self, info: tarfile.TarInfo) -> Entry:
        if info.type not in _KINDS:
            raise ArchiveRefused(f"an entry of the unknown kind {info.type!r}")
        size_bytes = _number(self._said.get("size"), info.size)
        if size_bytes < 0:
            raise ArchiveRefused("an entry of negative size")
        return Entry(
            _KINDS[info.type],
            self._said.get("path", info.name),
            size_bytes,
            info.mode,
            _number(self._said.get("mtime"), int(info.mtime)),
            self._said.get("linkpath", info.linkname),
        )


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, _ENCODING, _ERRORS)
    except (tarfile.HeaderError, ValueError) as exc:
        raise ArchiveRefused("a header that is none") from exc


def _pax(data: bytes) -> dict[str, str]:
    """Parse the records `<length> <key>=<value>` of an extended header."""
    said: dict[str, str] = {}
    while data:
        digits, _, _ = data.partition(b" ")
        if not digits.isdigit() or len(digits) > 5:
            raise ArchiveRefused("an extended header that is none")
        record, data = data[: int(digits)], data[int(digits) :]
        key, is_pair, value = record[len(digits) + 1 :].partition(b"=")
        if not is_pair or not value.endswith(b"\n") or key.startswith(b"GNU.sparse"):
            raise ArchiveRefused("an extended header that is none")
        said[key.decode(_ENCODING, _ERRORS)] = value[:-1].decode(_ENCODING, _ERRORS)
    return said


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    digits = text.partition(".")[0]
    if not digits.removeprefix("-").isdecimal() or len(digits) > 19:
        raise ArchiveRefused(f"the number {text[:40]!r}")
    return int(digits)
