"""Lists a host's folder of images, and every qcow2 layer on the host.

One command per host, however many clones it has: `find` and `stat` for the store,
`head` for the first bytes of all other files at once, compressed for the way. Used by
`chains.py`. Nothing is changed or judged here.
"""

import base64
import gzip
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestration.errors import CommandFailed
from orchestration.providers.images.qcow2 import (
    HEADER_BYTES,
    Header,
    decoded,
    parse_header,
)
from orchestration.transport.base import Completed, Scope, Transport, command

STORE = ".store"
LOOK_TIMEOUT_S = 300.0
# A path that can be one line of the script's stdin.
_PATH = re.compile(r"/[^\0\n]*")
# Errors for a file that is gone or never existed: no guest opens it.
_GONE = (
    *("No such file or directory", "Not a directory", "File name too long"),
    "Too many levels of symbolic links",
)
_UNREAD = re.compile(r"(?:find|head): [^']*'(?P<path>/.*)'[^']*: (?P<why>[^:]+)")
# $1 folder of images, $2 folder of projects, $3 bytes of a header; further files on
# stdin. A user's disk may name any file, so only regular files are opened: no devices
# or pipes, and no files that a kernel makes up. The first four bytes identify a disk,
# whatever its name. Images are read without a trace, because the time of their last
# reading says how old they are.
_LOOK = """\
LC_ALL=C; export LC_ALL
images=$1 projects=$2 bytes=$3 large=+$(($3 - 1))c asked=$(cat)
heads() {
  tr '\\n' '\\0' |
    xargs -0 -r sh -c 'head -v -c "$0" "$@"; echo' "$1"
}
disks() {
  heads 4 | grep -a -B1 "^QFI$(printf '\\373')" | sed -n 's/^==> \\(.*\\) <==$/\\1/p'
}
asked() {
  printf '%s' "$asked" | tr '\\n' '\\0' |
    xargs -0 -r sh -c 'find -L "$@" -maxdepth 0 -type f \\
      ! -fstype proc ! -fstype sysfs $0' "$1"
}
echo "look $(date +%s)"
if [ -n "$projects" ]; then
  place=$projects
  while [ ! -d "$place" ]; do place=$(dirname "$place"); done
  stat -L -f -c 'projects %S %b %a' "$place"
  [ ! -d "$projects" ] ||
    find "$projects/" -path '*/artefacts/*' -type f -printf '%b\\n' |
      awk '{ blocks += $1 } END { printf "artefacts %.0f\\n", blocks }'
fi
if [ -d "$images" ]; then
  [ -d "$projects" ] || { echo "there is no folder $projects" >&2; exit 1; }
  stat -L -f -c 'space %S %b %a' "$images"
  for folder in "$images" "$images/.store"; do
    [ -d "$folder" ] || continue
    find "$folder/" -maxdepth 1 -type f \\
      -printf "file %D %i %n %b %s %T@ %C@ %A@ ${folder#"$images"}/%P\\n"
  done
fi
echo heads
{
  asked '-printf at\\040%D\\040%i\\040%p\\n'
  echo heads
  {
    [ ! -d "$projects" ] || find "$projects/" -type f -size "$large"
    [ ! -d "$images" ] || find "$images/" -mindepth 1 -maxdepth 1 -type d \\
      ! -name .store -exec find {} -type f -size "$large" \\;
    asked "-size $large"
  } | sort -u | disks | heads "$bytes"
  [ ! -d "$images" ] || find "$images/" -maxdepth 1 -type f -size "$large" |
    while IFS= read -r file; do
      printf '==> %s <==\\n' "$file"
      dd if="$file" bs="$bytes" count=1 iflag=noatime 2>/dev/null ||
        [ ! -e "$file" ] || echo "head: '$file': cannot be read" >&2
      echo
    done
} | gzip -c | base64
echo end
"""
# Lines come in pairs: a name's place and length, and its file.
_NAMES = """\
while read -r offset length && IFS= read -r file; do
  [ ! -f "$file" ] ||
    tail -c "+$((offset + 1))" "$file" 2>/dev/null | head -c "$length" | base64 -w0
  echo
done
"""

# Identifies a file on a host: its file system's number, its inode.
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file: `path` is relative to the folder of images; times are seconds."""

    path: str
    device: int
    inode: int
    links: int
    disk_bytes: int
    size_bytes: int
    changed_at: float
    placed_at: float
    read_at: float

    @property
    def identity(self) -> Identity:
        """The identity that all names of this file share."""
        return self.device, self.inode


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one listing; `headers` by the files' full paths.

    `at` maps the requested paths to their files, through links. `unread` maps paths to
    the reason why they could not be read. `now` is the host's own clock, for comparison
    with the files' times. `total_bytes` and `free_bytes` are the images' file system's,
    `projects_free_bytes` that of the projects, whose artefacts take `artefact_bytes`.
    """

    files: tuple[FileFacts, ...] = ()
    headers: Mapping[str, Header] = field(default_factory=dict)
    at: Mapping[str, Identity] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    total_bytes: int = 0
    free_bytes: int = 0
    projects_free_bytes: int | None = None
    artefact_bytes: int = 0
    now: float = 0.0


def look_into(
    transport: Transport,
    *,
    images_dir: str = "",
    projects_dir: str = "",
    others: Collection[str] = (),
    scope: Scope,
) -> Found:
    """List both folders, if any, and `others`, which are full paths.

    Raises: HostUnreachable, CommandFailed (also for an incomplete answer).
    """
    words = ("sh", images_dir, projects_dir, str(HEADER_BYTES))
    stdin = _lines(path for path in others if _PATH.fullmatch(path))
    look = command("sh", "-c", _LOOK, *words, stdin=stdin).with_root()
    done = transport.run(look, scope=scope, timeout_s=LOOK_TIMEOUT_S)
    lines = done.stdout.rstrip("\n").split("\n")
    try:
        unread = dict(_unread(done.stderr))
        middle = lines.index("heads")
        word, now = lines[0].split()
        if (word, lines[-1]) != ("look", "end"):
            raise ValueError("it has no end")
        packed = base64.b64decode("".join(lines[middle + 1 : -1]))
        found = _found(lines[1:middle], gzip.decompress(packed))
        return replace(found, unread=unread, now=float(now))
    except (ValueError, IndexError, OSError, EOFError, zlib.error) as exc:
        raise _not_understood(transport, done, exc) from exc


def read_names(
    transport: Transport, places: Mapping[str, tuple[int, int]], *, scope: Scope
) -> dict[str, str]:
    """Read the names that lie deep in files; empty where there is none (any more).

    Raises: HostUnreachable, CommandFailed.
    """
    stdin = _lines(
        line
        for path, (offset, length) in places.items()
        for line in (f"{offset} {length}", path)
    )
    read = command("sh", "-c", _NAMES, stdin=stdin).with_root()
    done = transport.run(read, scope=scope, timeout_s=LOOK_TIMEOUT_S)
    try:
        names = [base64.b64decode(line) for line in done.stdout.split("\n")[:-1]]
        return {
            path: decoded(name) if len(name) == length else ""
            for (path, (_, length)), name in zip(places.items(), names, strict=True)
        }
    except ValueError as exc:
        raise _not_understood(transport, done, exc) from exc


def _lines(paths: Iterable[str]) -> bytes:
    return "".join(f"{path}\n" for path in paths).encode(errors="surrogateescape")


def _not_understood(
    transport: Transport, done: Completed, exc: Exception
) -> CommandFailed:
    return CommandFailed(
        f"The answer of {transport.machine} about its images cannot be read.",
        exit_code=done.exit_code,
        hint="Check that the folders of images and of projects can be read there.",
        detail=f"{exc}\n{done.stderr[-2000:]}",
    )


def _unread(stderr: str) -> Iterator[tuple[str, str]]:
    """Return the existing files that could not be read. Raises: ValueError."""
    for line in stderr.splitlines():
        if not line.startswith(("find:", "head:")) or line.endswith(_GONE):
            continue
        match = _UNREAD.fullmatch(line)
        if match is None:
            raise ValueError(line)
        yield match["path"].rstrip("/"), match["why"]


def _found(lines: list[str], packed: bytes) -> Found:
    files: list[FileFacts] = []
    spaces: dict[str, tuple[int, int]] = {}
    artefact_blocks = 0
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "file":
            files.append(_file(rest))
        elif kind == "artefacts":
            artefact_blocks = int(rest)
        else:
            block, blocks, available = map(int, rest.split())
            spaces[kind] = block * blocks, block * available
    total, free = spaces.get("space", (0, 0))
    _, projects_free = spaces.get("projects", (0, None))
    start = 0 if packed.startswith(b"heads\n") else packed.index(b"\nheads\n") + 1
    headers = dict(_headers(packed[start + len(b"heads\n") :]))
    at = dict(map(_place, packed[:start].split(b"\n")[:-1]))
    return Found(
        tuple(files),
        headers,
        at,
        total_bytes=total,
        free_bytes=free,
        projects_free_bytes=projects_free,
        artefact_bytes=artefact_blocks * 512,
    )


def _place(line: bytes) -> tuple[str, Identity]:
    _, device, inode, path = line.split(b" ", 3)
    return decoded(path), (int(device), int(inode))


def _file(line: str) -> FileFacts:
    *numbers, path = line.split(" ", 8)
    device, inode, links, blocks, size = map(int, numbers[:5])
    changed_at, placed_at, read_at = map(float, numbers[5:])
    return FileFacts(
        path.removeprefix("/"),
        device,
        inode,
        links,
        blocks * 512,
        size,
        changed_at,
        placed_at,
        read_at,
    )


def _headers(data: bytes) -> Iterator[tuple[str, Header]]:
    """Split the output of `head -v`: each file's path, then as many bytes.

    A file's content cannot pass for the next path, because its length is known. Only a
    file that was cut meanwhile is shorter; then the next path is searched.
    """
    start = 0
    while (start := data.find(b"==> ", start)) >= 0:
        end = data.index(b" <==\n", start)
        path = decoded(data[start + 4 : end])
        body = end + 5
        start = body + HEADER_BYTES
        if data[start : start + 5] not in (b"\n==> ", b"\n"):
            start = max(data.find(b"\n==> ", body), body)
        if header := parse_header(data[body : body + HEADER_BYTES]):
            yield path, header
