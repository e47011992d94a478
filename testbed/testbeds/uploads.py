"""Turns a user's upload into relative paths and bytes, or one sentence why not.

Files come as several uploads, as a folder (with its paths beside it) or as one
archive; `views/forms.py` collects them here and `testbeds/files.py` writes them. An
archive is never unpacked to disk: members are read one by one, within bounds, and only
regular files at plain relative paths are taken. Files that a desktop adds to a folder
or an archive by itself are left out.
"""

import io
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import PurePosixPath

from orchestration.compose.files import composed
from orchestration.errors import PathOutside, TestbedError
from orchestration.project.folder import YAML_NAME

MAX_FILES = 500
MAX_BYTES = 64 * 1024 * 1024
ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
YAML_NAMES = (YAML_NAME, "kvm-compose.yml")
# Files that macOS and Windows put into folders and archives by themselves.
CLUTTER_FOLDERS = {"__macosx"}
CLUTTER_FILES = {".ds_store", "thumbs.db", "desktop.ini"}
APPLE_DOUBLE = "._"
# The bit of a zip member that declares its name as UTF-8 (APPNOTE.TXT, 4.4.4).
NAME_IS_UTF8 = 0x800


class UploadRefused(TestbedError):
    """An upload cannot be used; nothing of it was kept."""


def safe_path(name: str) -> str:
    """Return a plain relative path. Raises: PathOutside."""
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part != "."]
    if "\\" in name:
        raise PathOutside(
            f"The path {name!r} uses \\ between folders, or in a name.",
            hint="Use / between folders, and no \\ in names.",
        )
    bad = path.is_absolute() or ".." in parts or not _is_plain(name)
    if bad or not parts or any(len(part) > 255 for part in parts):
        raise PathOutside(
            f"The path {name!r} leaves the testbed's folder.",
            hint="Use relative paths below the folder of kvm-compose.yaml.",
        )
    return "/".join(parts)


def read_archive(name: str, content: bytes) -> dict[str, bytes]:
    """Return the files of a zip or tar archive. Raises: UploadRefused, PathOutside."""
    try:
        members = _zip(content) if _is_zip(content) else _tar(content)
        return _bounded(members)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as exc:
        raise _unreadable(name) from exc
    except (NotImplementedError, RuntimeError, ValueError) as exc:
        raise _unreadable(name) from exc


def is_clutter(path: str) -> bool:
    """Return whether a desktop put this file there by itself."""
    *folders, name = path.lower().split("/")
    return (
        not CLUTTER_FOLDERS.isdisjoint(folders)
        or name in CLUTTER_FILES
        or name.startswith(APPLE_DOUBLE)
    )


def as_testbed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files with kvm-compose.yaml at the top.

    A folder that holds everything is left out of the paths, and `.yml` becomes
    `.yaml`. Raises: UploadRefused (no kvm-compose.yaml, too much), PathOutside.
    """
    found = {safe_path(composed(path)): content for path, content in files.items()}
    check_bounds(found)
    tops = {path.partition("/")[0] for path in found}
    if len(tops) == 1 and all("/" in path for path in found):
        found = {path.partition("/")[2]: content for path, content in found.items()}
    for name in YAML_NAMES:
        if name in found:
            return {YAML_NAME: found.pop(name), **found}
    raise UploadRefused(_missing_yaml(found))


def check_bounds(files: Mapping[str, bytes]) -> None:
    """Refuse too many files or too many bytes. Raises: UploadRefused."""
    if len(files) > MAX_FILES:
        raise UploadRefused(f"These are more than {MAX_FILES} files.")
    if sum(map(len, files.values())) > MAX_BYTES:
        raise _too_large()


def _is_plain(name: str) -> bool:
    """Refuse control characters and invalid text, which no address can name."""
    return not any(unicodedata.category(char) in {"Cc", "Cs"} for char in name)


def _bounded(members: Iterator[tuple[str, bytes]]) -> dict[str, bytes]:
    """Collect members, stopping as soon as there are too many or too large ones."""
    files: dict[str, bytes] = {}
    size = 0
    for name, content in members:
        if is_clutter(name):
            continue
        files[safe_path(name)] = content
        size += len(content)
        if len(files) > MAX_FILES:
            raise UploadRefused(f"The archive holds more than {MAX_FILES} files.")
        if size > MAX_BYTES:
            raise _too_large()
    return files


def _is_zip(content: bytes) -> bool:
    return content.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _zip(content: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            kind = (member.external_attr >> 16) & 0o170000
            name = _zip_name(member)
            if name.endswith("/"):
                continue
            if kind not in {0, 0o100000}:
                raise _no_plain_file(member.filename)
            with archive.open(member) as stream:
                yield name, stream.read(MAX_BYTES + 1)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name as its packer meant it.

    `zip` on Linux and Finder write UTF-8 without declaring it, and zipfile takes that
    for code page 437. Older packers on Windows write back-slashes between folders.
    """
    name = member.filename
    if not member.flag_bits & NAME_IS_UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _tar(content: bytes) -> Iterator[tuple[str, bytes]]:
    # A stream (`r|*`) is decompressed as it is read, so a bomb ends at the bound.
    count = 0
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|*") as archive:
        for member in archive:
            count += 1
            if count > 4 * MAX_FILES:
                raise UploadRefused("The archive holds too many entries.")
            if member.isdir():
                continue
            if not member.isreg():
                raise _no_plain_file(member.name)
            if member.size > MAX_BYTES:
                raise _too_large()
            stream = archive.extractfile(member)
            yield member.name, stream.read() if stream else b""


def _missing_yaml(files: Mapping[str, bytes]) -> str:
    names = sorted(files)[:5]
    if not names:
        return "There are no files in this upload."
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return f"There is no {YAML_NAME} among: {', '.join(names)}{more}."


def _no_plain_file(name: str) -> UploadRefused:
    return UploadRefused(
        f"{name!r} in the archive is a link or a device.",
        hint="Pack plain files and folders only.",
    )


def _too_large() -> UploadRefused:
    return UploadRefused(f"This is more than {MAX_BYTES // 1024**2} MiB.")


def _unreadable(name: str) -> UploadRefused:
    return UploadRefused(
        f"{name} is not an archive that can be read.",
        hint=f"Use {', '.join(ARCHIVE_ENDINGS)} without a password.",
    )
