"""What lies in a host's folder of images, and every qcow2 layer that it holds.

One command per host, however many clones it has: `find` and `stat` for the store,
`head` for the first bytes of all other files at once, packed for the way. Used by
`image_stores`, which knows what the names mean. Nothing is changed or judged here.
"""

import base64
import gzip
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from orchestration.errors import CommandFailed
from orchestration.providers.qcow2_header import HEADER_BYTES, Header, parse_header
from orchestration.transport.base import Scope, Transport, command

STORE = ".store"
LOOK_TIMEOUT_S = 300.0
# What cannot be a word of its own for a program.
_PATH = re.compile(r"/[^\0\n]*")
# What a file is told to be that went, or that never was.
_GONE = ("No such file or directory", "Not a directory", "File name too long")
# $1 folder of images, $2 folder of projects, $3 bytes of a header; further files on
# stdin: a user's disk may name any, so that only files are opened, no devices or pipes.
# A disk is known by its first four bytes, whatever its name. Images are read without a
# trace, because the time of their last reading says how old they are.
_LOOK = """\
LC_ALL=C; export LC_ALL
images=$1 projects=$2 bytes=$3
heads() {
  tr '\\n' '\\0' |
    xargs -0 -r sh -c 'head -v -c "$0" "$@"; echo' "$1"
}
disks() {
  heads 4 | grep -a -B1 "^QFI$(printf '\\373')" | sed -n 's/^==> \\(.*\\) <==$/\\1/p'
}
echo "look $(date +%s)"
if [ -d "$images" ]; then
  [ -d "$projects" ] || { echo "there is no folder $projects" >&2; exit 1; }
  stat -L -f -c 'space %S %b %a' "$images"
  for folder in "$images" "$images/.store"; do
    [ -d "$folder" ] || continue
    find "$folder/" -maxdepth 1 -type f \\
      -printf "file %i %n %b %s %T@ %C@ %A@ ${folder#"$images"}/%P\\n"
  done
fi
echo heads
{
  {
    [ ! -d "$projects" ] || find "$projects/" -type f -size "+$((bytes - 1))c"
    tr '\\n' '\\0' | xargs -0 -r sh -c \\
      'find -L "$@" -maxdepth 0 -type f -size "+$0"' "$((bytes - 1))c"
  } | disks | heads "$bytes"
  [ ! -d "$images" ] || find "$images/" -maxdepth 1 -type f \\
      -size "+$((bytes - 1))c" | while IFS= read -r file; do
    printf '==> %s <==\\n' "$file"
    dd if="$file" bs="$bytes" count=1 iflag=noatime 2>/dev/null
    echo
  done
} | gzip -c | base64
echo end
"""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file: `path` is relative to the folder of images; times are seconds."""

    path: str
    inode: int
    links: int
    disk_bytes: int
    size_bytes: int
    changed_at: float
    placed_at: float
    read_at: float


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that one look showed; `headers` by the files' full paths.

    `now` is the host's own clock, which the files' times are to be compared with.
    """

    files: tuple[FileFacts, ...] = ()
    headers: Mapping[str, Header] = field(default_factory=dict)
    total_bytes: int = 0
    free_bytes: int = 0
    now: float = 0.0


def look_into(
    transport: Transport,
    *,
    images_dir: str,
    projects_dir: str,
    others: Collection[str] = (),
    scope: Scope,
) -> Found:
    """Look into both folders, and at `others`, which are full paths elsewhere.

    Raises: HostUnreachable, CommandFailed (also when not all of the answer came).
    """
    words = ("sh", images_dir, projects_dir, str(HEADER_BYTES))
    listed = "".join(f"{path}\n" for path in others if _PATH.fullmatch(path))
    stdin = listed.encode(errors="surrogateescape")
    look = command("sh", "-c", _LOOK, *words, stdin=stdin).with_root()
    done = transport.run(look, scope=scope, timeout_s=LOOK_TIMEOUT_S)
    lines = done.stdout.rstrip("\n").split("\n")
    try:
        _require_whole(done.stderr)
        middle = lines.index("heads")
        word, now = lines[0].split()
        if (word, lines[-1]) != ("look", "end"):
            raise ValueError("it has no end")
        packed = base64.b64decode("".join(lines[middle + 1 : -1]))
        headers = dict(_headers(gzip.decompress(packed)))
        return _found(lines[1:middle], headers, float(now))
    except (ValueError, IndexError, OSError, EOFError, zlib.error) as exc:
        raise CommandFailed(
            f"What {transport.machine} said of its images cannot be read.",
            exit_code=done.exit_code,
            hint=f"Look whether {images_dir} and {projects_dir} can be read there.",
            detail=f"{exc}\n{done.stderr[-2000:]}",
        ) from exc


def _require_whole(stderr: str) -> None:
    """See that nothing was left out but what is not there. Raises: ValueError."""
    for line in stderr.splitlines():
        if line.startswith(("find:", "head:")) and not line.endswith(_GONE):
            raise ValueError(line)


def _found(lines: list[str], headers: Mapping[str, Header], now: float) -> Found:
    files, total, free = [], 0, 0
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "space":
            block, blocks, available = map(int, rest.split())
            total, free = block * blocks, block * available
        else:
            files.append(_file(rest))
    return Found(tuple(files), headers, total, free, now)


def _file(line: str) -> FileFacts:
    *numbers, path = line.split(" ", 7)
    inode, links, blocks, size = map(int, numbers[:4])
    changed_at, placed_at, read_at = map(float, numbers[4:])
    return FileFacts(
        path.removeprefix("/"),
        inode,
        links,
        blocks * 512,
        size,
        changed_at,
        placed_at,
        read_at,
    )


def _headers(data: bytes) -> Iterator[tuple[str, Header]]:
    """Take `head -v` apart: each file gives its path, and then as many bytes.

    What is in a file cannot pass for the next one: its length is known. Only a file
    that was cut meanwhile is shorter; then the next path is looked for.
    """
    start = 0
    while (start := data.find(b"==> ", start)) >= 0:
        end = data.index(b" <==\n", start)
        path = data[start + 4 : end].decode(errors="surrogateescape")
        body = end + 5
        start = body + HEADER_BYTES
        if data[start : start + 5] not in (b"\n==> ", b"\n"):
            start = max(data.find(b"\n==> ", body), body)
        if header := parse_header(data[body : body + HEADER_BYTES]):
            yield path, header
