"""Commands that read a testbed host's image store and receive into it.

`push.py` and `sender.py` use them: sh programs for coreutils and zstd, because nothing
of ours is installed there. In the images folder, `.store/<algorithm>-<hex>` is a
content, `….part` one that arrives, `….part.at` the number of its bytes written.
Everything else in the folder is a name: a hard link to a content.
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from orchestration.providers.images.digests import Digest
from orchestration.providers.images.listing import STORE
from orchestration.providers.transfer.layout import Layout
from orchestration.transport.base import Command, command
from orchestration.transport.files.copying import Extent

# Exit codes of the receiver: the input ended early, another one took over.
INPUT_ENDED, TAKEN_OVER = 3, 5

# $1 content, $2 name.
OBSERVE = """\
stat -c 'content %i %s %.9Y %u:%a' "$1" 2>/dev/null
stat -c 'name %i %s %.9Y' "$2" 2>/dev/null
[ -f "$1.part" ] && [ -f "$1.part.at" ] && echo "part $(cat "$1.part.at")"
stat -fc 'free %a %S' "${2%/*}" || exit 1
command -v zstd >/dev/null && echo zstd
exit 0
"""

# $1 content, $2 token, $3 layout, $4 size, $5 bytes that are there, $6 wire, $7 number
# of pieces that are there, then place and length of each of these and of each piece to
# come. An input that ends early, as it does when the connection breaks, is recorded to
# the byte; after a power loss the host knows its last whole piece. A later receiver
# takes over: its token is in the note, and the earlier one remakes no finished file.
# Each piece is read again behind the writing, while the next one comes.
RECEIVE = """\
part=$1.part token=$2 layout=$3 size=$4 at=$5 wire=$6 there=$7; shift 7
LC_ALL=C; export LC_ALL; umask 077; trap '' PIPE
seventh() { shift 6; echo "$1"; }
note() {
  read -r a l who <"$part.at" && [ "$who" = "$token" ] || exit 5
  echo "$at $layout $token" >"$part.at"
}
receive() {
  while [ "$there" -gt 0 ]; do echo "$1 $2"; shift 2; there=$((there - 1)); done
  while [ $# -gt 1 ]; do
    said=$(dd of="$part" bs=1M seek="$1" count="$2" iflag=fullblock,count_bytes \\
      oflag=seek_bytes conv=notrunc,nocreat 2>&1) || { echo "$said" >&2; exit 1; }
    got=$(seventh $said); at=$((at + got)); note
    [ "$got" = "$2" ] || { echo "the input ended at $at" >&2; exit 3; }
    kill -0 $writing 2>/dev/null || { sync -d "$part" >/dev/null & writing=$!; }
    echo "$1 $2"; shift 2
  done
}
arrive() { if [ "$wire" = zstd ]; then zstd -dcq | receive "$@"; else receive "$@"; fi; }
reread() {
  while read -r place length; do
    dd if="$part" bs=1M skip="$place" count="$length" status=none \\
      iflag=skip_bytes,count_bytes,fullblock || exit 1
  done
}
mkdir -p -m 0755 "${part%/*}" || exit 1
if [ "$at" = 0 ]; then rm -f "$part"; truncate -s "$size" "$part" || exit 1; fi
echo "$at $layout $token" >"$part.at" || exit 1
exec 4>&1
writing=none
code=$({ { (arrive "$@"); echo $? >&3; } | reread | b2sum >&4; } 3>&1)
exit "$code"
"""

# $1 content, $2 mark: the received file was verified and becomes a content.
FINISH = """\
part=$1.part
sync "$part" && chmod 0444 "$part" && touch -d "@$(date +%s).$2" "$part" &&
  mv -f "$part" "$1" && rm -f "$part.at" && sync "$1" "${1%/*}"
"""

# $1 content, $2 name, $3 mark. A new name is made beside an existing one, then renamed
# over it: at no time is there none. Its time shows the sweepers that it is in use.
LINK = """\
touch -c -d "@$(date +%s).$3" "$1" || exit 1
new=${2%/*}/.${2##*/}.link
if [ -e "$2" ]; then ln -f "$1" "$new" && mv -f "$new" "$2" || exit 1; rm -f "$new"
else ln "$1" "$2" || exit 1; fi
rm -f "$2.verified"; sync "${2%/*}"
"""

# $1 content, $2 name, $3 mark: a name that is there without its content.
ADOPT = """\
mkdir -p -m 0755 "${1%/*}" && chown 0:0 "$2" && chmod 0444 "$2" &&
  touch -d "@$(date +%s).$3" "$2" && ln "$2" "$1" || exit 1
rm -f "$2.verified"; sync "${1%/*}"
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The paths of a content and its name on a host."""

    content: str
    name: str
    digest: Digest

    @property
    def mark(self) -> str:
        """The nanoseconds of the time of change of a content that was verified.

        Any write to the file sets others, so that a changed content is detected without
        a second file that may be lost or wrong.
        """
        return f"{int(self.digest.value[:12], 16) % 10**9:09}"

    @property
    def folder(self) -> str:
        """The images folder."""
        return str(PurePosixPath(self.name).parent)


@dataclass(frozen=True, slots=True)
class File:
    """A file that is there: its inode, size, and time of change as stat prints it.

    `access` is its owner and rights, where they were requested.
    """

    inode: int
    size: int
    changed: str
    access: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Observation:
    """A host's state of one content. `part` is a partial file's layout and progress."""

    content: File | None = None
    name: File | None = None
    part: tuple[int, str] = (0, "")
    free_bytes: int = 0
    has_zstd: bool = False

    def holds(self, place: Place, size: int) -> bool:
        """Return whether the content is there, as it was when it was verified."""
        found = self.content
        return (
            found is not None
            and found.size == size
            and found.changed.endswith(f".{place.mark}")
        )

    def arrived(self, layout: Layout) -> int:
        """Return the number of received data bytes after which to resume."""
        offset, identity = self.part
        is_ours = identity == layout.identity and offset <= layout.data_bytes
        return offset if is_ours else 0


def place_of(name: str, digest: Digest) -> Place:
    """Return the place of the content of a readable name."""
    folder = PurePosixPath(name).parent / STORE
    return Place(str(folder / f"{digest.algorithm}-{digest.value}"), name, digest)


def observe(place: Place) -> Command:
    """Build the command whose output `parse_observation` reads."""
    return _script(OBSERVE, place.content, place.name)


def parse_observation(text: str) -> Observation:
    """Parse the output of `observe`; a broken note is no note."""
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, text.splitlines()):
        word, *rest = line.split()
        found[word] = rest
    blocks = [int(value) for value in found.get("free", ("0", "0"))]
    return Observation(
        content=_file(found.get("content")),
        name=_file(found.get("name")),
        part=_noted(found.get("part", [])),
        free_bytes=blocks[0] * blocks[1],
        has_zstd="zstd" in found,
    )


def receive(place: Place, layout: Layout, offset: int, *, compressed: bool) -> Command:
    """Build the command that takes the data after `offset` from its input.

    It prints the BLAKE2b of all data, read from the file.
    """
    wire = "zstd" if compressed else "plain"
    there = _places(layout.before(offset))
    words = (secrets.token_hex(4), layout.identity, layout.size, offset, wire)
    numbers = map(str, (*words, len(there) // 2))
    pieces = _places(layout.segments(offset))
    return _script(RECEIVE, place.content, *numbers, *there, *pieces)


def finish(place: Place) -> Command:
    """Build the command that turns the verified received file into a content."""
    return _script(FINISH, place.content, place.mark)


def link(place: Place) -> Command:
    """Build the command that gives a content a name."""
    return _script(LINK, place.content, place.name, place.mark)


def adopt(place: Place) -> Command:
    """Build the command that makes a content of a file that has only a name."""
    return _script(ADOPT, place.content, place.name, place.mark)


def mark_again(place: Place) -> Command:
    """Build the command that marks a content as verified."""
    return _script('touch -d "@$(date +%s).$2" "$1"', place.content, place.mark)


def remove_content(place: Place) -> Command:
    """Build the command that removes a damaged content; its names stay for their users."""
    return command("rm", "-f", "--", place.content).with_root()


def checksum(path: str, digest: Digest) -> Command:
    """Build the command that hashes a whole file with `digest`'s algorithm."""
    return command(f"{digest.algorithm}sum", "-b", "--", path).with_root()


def discard(place: Place) -> Command:
    """Build the command that removes a content's partial file."""
    part = f"{place.content}.part"
    return command("rm", "-f", "--", part, f"{part}.at").with_root()


def _script(script: str, *words: str) -> Command:
    return command("sh", "-c", script, "sh", *words).with_root()


def _places(extents: Iterable[Extent]) -> list[str]:
    return [str(word) for start, end in extents for word in (start, end - start)]


def _file(words: list[str] | None) -> File | None:
    return File(int(words[0]), int(words[1]), *words[2:]) if words else None


def _noted(words: list[str]) -> tuple[int, str]:
    if len(words) == 3 and re.fullmatch(r"\d+", words[0]):
        return int(words[0]), words[1]
    return 0, ""
