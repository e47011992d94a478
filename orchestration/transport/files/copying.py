"""Copies files whole or not at all, and keeps their holes.

`data_extents` lists where a file has data. `copy_here` copies on this machine.
`put_command` builds the sh program that receives a file on another machine. It needs
only dd and truncate (GNU or busybox), because guests with dropbear have no SFTP. Every
copy is written beside its target and renamed.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestration.errors import CommandFailed, NotEnoughSpace, TestbedError
from orchestration.files import part_path
from orchestration.transport.base import Command, OnProgress
from orchestration.transport.files import parts

BLOCK_BYTES = 64 * 1024
MAX_EXTENTS = 512
PROGRESS_BYTES = 1024 * 1024
COPY_BYTES = 8 * 1024 * 1024
_FULL = ("No space left on device", "Disk quota exceeded")

# $1 target, $2 file beside it, $3 mode, $4 size in bytes, then first block and number
# of blocks of each extent; without extents all of stdin is the file. A lost connection
# looks like the end of input, so the size is checked before the rename. Output then has
# no reader, and SIGPIPE must not end the program before its clean-up.
PUT_SCRIPT = """\
target=$1 part=$2 mode=$3 size=$4; shift 4
trap 'rm -f "$part"; exit 143' TERM HUP INT; trap '' PIPE
fail() { rm -f "$part"; exit 1; }
LC_ALL=C; export LC_ALL
if [ -d "$target" ]; then echo "$target is a folder" >&2; exit 1; fi
mkdir -p "${part%/*}/" || exit 1
umask 077
if [ $# = 0 ]; then cat >"$part" || fail; else
  truncate -s "$size" "$part" || fail
  while [ $# -gt 1 ]; do
    dd of="$part" bs=65536 seek="$1" count="$2" iflag=fullblock conv=notrunc || fail
    shift 2
  done
fi
got=$(stat -c %s "$part" 2>/dev/null || wc -c <"$part")
if [ "$got" != "$size" ]; then echo "$got of $size bytes arrived" >&2; fail; fi
chmod "$mode" "$part" && mv -f "$part" "$target" || fail
"""

# $1 source, $2 target, $3 file beside it, $4 mode: the same on one machine. A file that
# is not locked has a dead writer, as in `parts.py`.
COPY_SCRIPT = """\
trap 'rm -f "$3"; exit 143' TERM HUP INT; trap '' PIPE
if [ -d "$2" ]; then echo "$2 is a folder" >&2; exit 1; fi
mkdir -p "${3%/*}/" || exit 1
for old in "${3%.*.part}".????????.part; do
  [ ! -e "$old" ] || flock -n "$old" rm -f "$old"
done
umask 077
exec 9>"$3" && flock -n 9
LC_ALL=C cp --sparse=auto "$1" "$3" && chmod "$4" "$3" && mv -f "$3" "$2" && exit 0
rm -f "$3"; exit 1
"""
COPY_TIMEOUT_S = 24 * 3600.0

Extent = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sending:
    """A file to be sent: its pieces, their total size, and the receiving command.

    `part` is the file there in which it arrives.
    """

    part: str
    receive: Command
    pieces: Iterator[bytes]
    total: int


@contextlib.contextmanager
def sending(
    source: Path | bytes, target: str, *, mode: int, piece_bytes: int
) -> Iterator[Sending]:
    """Open a file, or take bytes, to send them to `target`. Raises: CommandFailed."""
    part = part_path(target)
    with contextlib.ExitStack() as stack:
        if isinstance(source, bytes):
            size, extents = len(source), [(0, len(source))]
            pieces = cut(iter((source,)), piece_bytes)
        else:
            descriptor = stack.enter_context(open_source(source)).fileno()
            size = os.fstat(descriptor).st_size
            extents = data_extents(descriptor, size)
            pieces = read_extents(descriptor, extents, piece_bytes)
        apart = () if extents in ([], [(0, size)]) else extents
        receive = put_command(target, part, mode=mode, size=size, extents=apart)
        yield Sending(part, receive, pieces, sum(end - start for start, end in extents))


@contextlib.contextmanager
def arriving(target: Path) -> Iterator["SparseWriter"]:
    """Take a file that arrives on main; it gets its name when it is whole.

    Raises: CommandFailed and NotEnoughSpace (it cannot be written).
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        parts.sweep_beside(target)
        with parts.written_beside(target) as (part, file):
            writer = SparseWriter(file)
            yield writer
            writer.finish()
            part.replace(target)
    except OSError as exc:
        raise not_written(exc, str(target), "main") from exc


def put_command(
    target: str, part: str, *, mode: int, size: int, extents: Sequence[Extent] = ()
) -> Command:
    """Build the command that receives a file; no `extents` means all of it."""
    blocks = [
        str(number)
        for start, end in extents
        for number in (start // BLOCK_BYTES, -(-(end - start) // BLOCK_BYTES))
    ]
    words = (target, part, f"{mode:o}", str(size), *blocks)
    return Command(("sh", "-c", PUT_SCRIPT, "sh", *words))


def copy_command(source: str, target: str, part: str, *, mode: int) -> Command:
    """Build the command that copies a file on its own machine."""
    return Command(("sh", "-c", COPY_SCRIPT, "sh", source, target, part, f"{mode:o}"))


def put_failed(error: CommandFailed, target: str, machine: str) -> TestbedError:
    """Build the error for a failed `put_command` or `copy_command`."""
    if any(words in error.detail for words in _FULL):
        return _no_space(target, machine)
    return CommandFailed(
        f"Could not write {target} on {machine}.",
        exit_code=error.exit_code,
        hint=error.hint,
        detail=error.detail,
    )


def get_failed(error: CommandFailed, source: str, machine: str) -> CommandFailed:
    """Build the error for a file that could not be fetched."""
    return CommandFailed(
        f"Could not read {source} on {machine}.",
        exit_code=error.exit_code,
        detail=error.detail,
    )


def not_written(error: OSError, target: str, machine: str) -> TestbedError:
    """Build the error for a failed write on this machine."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_space(target, machine)
    return CommandFailed(
        f"Could not write {target} on {machine}.", exit_code=1, detail=str(error)
    )


def _no_space(target: str, machine: str) -> NotEnoughSpace:
    """Build the error for a full file system."""
    return NotEnoughSpace(
        f"The file system of {target} on {machine} is full.",
        hint="Free some space there and try again.",
    )


def data_extents(descriptor: int, size: int) -> list[Extent]:
    """List the extents with data, in whole blocks, the last clipped to the size.

    Neighbours are joined until there are at most 512: each costs the receiver a
    process. A file that is one hole gets its first block; only an empty one has none.
    """
    extents: list[Extent] = []
    for start, end in _raw_extents(descriptor, size):
        first = start // BLOCK_BYTES * BLOCK_BYTES
        last = min(-(-end // BLOCK_BYTES) * BLOCK_BYTES, size)
        if extents and first <= extents[-1][1]:
            extents[-1] = (extents[-1][0], last)
        else:
            extents.append((first, last))
    if size and not extents:
        return [(0, min(BLOCK_BYTES, size))]
    gap = BLOCK_BYTES
    while len(extents) > MAX_EXTENTS:
        gap *= 2
        extents = _joined(extents, gap)
    return extents


def read_extents(
    descriptor: int, extents: Sequence[Extent], chunk_bytes: int
) -> Iterator[bytes]:
    """Read these extents of a file in chunks; stop early at the file's end."""
    for start, end in extents:
        for position in range(start, end, chunk_bytes):
            yield os.pread(descriptor, min(chunk_bytes, end - position), position)


def cut(stream: Iterator[bytes], piece_bytes: int) -> Iterator[bytes]:
    """Cut a stream into pieces of a size at most."""
    for data in stream:
        for start in range(0, len(data), piece_bytes):
            yield data[start : start + piece_bytes]


def reported(
    chunks: Iterator[bytes], total: int, on_progress: OnProgress | None
) -> Iterator[bytes]:
    """Pass chunks on and report progress about once per MiB."""
    done = told = 0
    if on_progress:
        on_progress(0, total)
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if on_progress and (done - told >= PROGRESS_BYTES or done == total):
            on_progress(done, total)
            told = done


def open_source(source: Path) -> BinaryIO:
    """Open a file of this machine. Raises: CommandFailed."""
    try:
        return source.open("rb")
    except OSError as exc:
        raise CommandFailed(
            f"Could not read {source}.", exit_code=1, detail=str(exc)
        ) from exc


def copy_here(
    source: Path,
    writer: BinaryIO,
    *,
    check: Callable[[], None],
    on_progress: OnProgress | None = None,
) -> None:
    """Copy a file on this machine with its holes; `check` may raise between pieces."""
    with open_source(source) as reader:
        copy_open(reader, writer, check=check, on_progress=on_progress)


def copy_open(
    reader: BinaryIO,
    writer: BinaryIO,
    *,
    check: Callable[[], None],
    on_progress: OnProgress | None = None,
) -> None:
    """Copy an open file as `copy_here` does."""
    size = os.fstat(reader.fileno()).st_size
    os.ftruncate(writer.fileno(), size)
    extents = list(_raw_extents(reader.fileno(), size))
    total, done = sum(end - start for start, end in extents), 0
    if on_progress is not None:
        on_progress(0, total)
    for start, end in extents:
        position = start
        while position < end:
            check()
            count = min(COPY_BYTES, end - position)
            position += _copy_piece(reader.fileno(), writer.fileno(), position, count)
            if on_progress is not None:
                on_progress(done + position - start, total)
        done += end - start


class SparseWriter:
    """Write a file from a stream, leaving holes where blocks are all zero."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        for start in range(0, len(data), BLOCK_BYTES):
            block = data[start : start + BLOCK_BYTES]
            if block.count(0) == len(block):
                self._file.seek(len(block), os.SEEK_CUR)
            else:
                self._file.write(block)

    def finish(self) -> None:
        """Set the file's full size, also when it ends in a hole."""
        self._file.truncate(self._file.tell())


def _copy_piece(source: int, target: int, position: int, count: int) -> int:
    """Copy within the kernel, which shares blocks where the file system can."""
    try:
        copied = os.copy_file_range(source, target, count, position, position)
    except OSError as exc:
        if exc.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        copied = os.pwrite(target, os.pread(source, count, position), position)
    if copied == 0:
        raise OSError(errno.EIO, "the file became shorter while it was copied")
    return copied


def _raw_extents(descriptor: int, size: int) -> Iterator[Extent]:
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, min(position, size)


def _joined(extents: list[Extent], gap: int) -> list[Extent]:
    joined = extents[:1]
    for start, end in extents[1:]:
        if start - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
