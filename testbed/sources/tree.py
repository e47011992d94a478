"""Reads the listing and the contents of a commit's files, within an upload's bounds.

git prints both, from a repository that may be hostile. Only regular files at plain paths
are taken, as from an archive. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestration.compose.files import composed
from orchestration.errors import PathOutside
from orchestration.project.folder import YAML_NAME
from testbed.sources.places import SourceRefused
from testbed.testbeds.archive_reader import is_clutter
from testbed.testbeds.uploads import MAX_BYTES, MAX_FILES, YAML_NAMES, safe_path

_KINDS = {"120000": "a symbolic link", "160000": "a submodule"}
_REGULAR = ("100644", "100755", "100664")
LFS_HEAD = b"version https://git-lfs.github.com/spec/"
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a commit: its path here, its object and its size in bytes."""

    path: str
    object_id: str
    size: int


def members_of(listing: bytes) -> list[Member]:
    """Return the files that `git ls-tree -r -l -z` listed. Raises: SourceRefused."""
    found: dict[str, Member] = {}
    for line in filter(None, listing.split(b"\0")):
        head, _, raw = line.partition(b"\t")
        mode, _, object_id, size = head.decode("ascii").split()
        path = _path_of(raw)
        if kind := _KINDS.get(mode):
            raise SourceRefused(
                f"{path[:SHOWN]!r} in the repository is {kind}.",
                hint="Only plain files are fetched: put a file in its place, or choose "
                "another folder.",
            )
        if mode not in _REGULAR:
            raise SourceRefused(f"{path[:SHOWN]!r} has the unknown mode {mode}.")
        if is_clutter(path):
            continue
        if path in found:
            raise SourceRefused(
                f"The repository has {path[:SHOWN]!r} twice, in two spellings of Unicode.",
                hint="Remove one of them.",
            )
        found[path] = Member(path, object_id, int(size))
    return _bounded(list(found.values()))


def files_of(members: Sequence[Member], batch: bytes) -> dict[str, bytes]:
    """Return the contents that `git cat-file --batch` printed, in the members' order.

    Raises: SourceRefused.
    """
    files: dict[str, bytes] = {}
    at = 0
    for member in members:
        end = batch.find(b"\n", at)
        words = batch[at:end].split()
        if end < 0 or words != [
            member.object_id.encode(),
            b"blob",
            str(member.size).encode(),
        ]:
            raise SourceRefused("A file of the repository cannot be read.")
        content = batch[end + 1 : end + 1 + member.size]
        if len(content) != member.size:
            raise SourceRefused("A file of the repository cannot be read.")
        at = end + 1 + member.size + 1
        _require_no_lfs(member.path, content)
        files[member.path] = content
    return _with_yaml(files)


def _path_of(raw: bytes) -> str:
    """Return a path as it is kept here. Raises: SourceRefused."""
    try:
        path = safe_path(composed(raw.decode("utf-8")))
    except UnicodeDecodeError:
        raise SourceRefused(f"The path {raw[:SHOWN]!r} is no UTF-8.") from None
    except PathOutside as exc:
        raise SourceRefused(exc.message, hint=exc.hint) from exc
    if any(part.rstrip(" .").casefold() == ".git" for part in path.split("/")):
        raise SourceRefused(f"The path {path[:SHOWN]!r} is one of git's own.")
    return path


def _bounded(members: list[Member]) -> list[Member]:
    """Return the members. Raises: SourceRefused (too many files or bytes)."""
    hint = "Choose a folder of it that holds the testbed alone."
    if len(members) > MAX_FILES:
        raise SourceRefused(f"These are more than {MAX_FILES} files.", hint=hint)
    if sum(member.size for member in members) > MAX_BYTES:
        most = MAX_BYTES // 1024**2
        raise SourceRefused(f"The files have more than {most} MiB.", hint=hint)
    return members


def _require_no_lfs(path: str, content: bytes) -> None:
    """Refuse what stands in the place of a file. Raises: SourceRefused."""
    if content.startswith(LFS_HEAD):
        raise SourceRefused(
            f"{path[:SHOWN]} is kept in Git LFS, which is not fetched.",
            hint="Keep the file in the repository itself, or upload it here.",
        )


def _with_yaml(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files with the YAML under its name. Raises: SourceRefused (none)."""
    found = dict(files)
    for name in YAML_NAMES:
        if name in found:
            return {YAML_NAME: found.pop(name), **found}
    raise SourceRefused(
        f"There is no {YAML_NAME} in this folder of the repository.",
        hint="Set the folder in which it is.",
    )
