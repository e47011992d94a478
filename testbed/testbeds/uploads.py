"""Turns a user's upload into relative paths and bytes, or one sentence why not.

Files come as several uploads, as a folder (with its paths beside it) or as one
archive; `views/forms.py` collects them here and `testbeds/files.py` writes them. An
archive is never unpacked to disk: `archive_reader.py` reads its members one by one in a
process of its own, within bounds, and only regular files at plain relative paths are
taken. Files that a desktop adds to a folder or an archive by itself are left out.
"""

import io
import json
import logging
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath

from orchestration.compose.files import composed
from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.errors import PathOutside, TestbedError
from orchestration.project.folder import YAML_NAME
from testbed.testbeds import archive_reader

MAX_FILES = 500
MAX_BYTES = 64 * 1024 * 1024
# How an archive is packed follows from its name alone.
ARCHIVE_ENDINGS = {".zip": "zip", ".tar": "plain", ".tar.gz": "gzip", ".tgz": "gzip"}
YAML_NAMES = (YAML_NAME, "kvm-compose.yml")
# The kernel takes 4,096 bytes, of which the testbed's folder needs some.
MAX_PATH_BYTES = 2048
MAX_NAME_BYTES = 255
READ_TIMEOUT_S = 60.0
logger = logging.getLogger(__name__)


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
    if not parts and not path.is_absolute():
        raise PathOutside(
            "The path of the file is missing.",
            hint="Write it as scripts/setup.sh.",
        )
    if not _is_plain(name):
        raise PathOutside(
            f"The path {name!r} has control characters.",
            hint="Use printable characters in names.",
        )
    if path.is_absolute() or ".." in parts:
        raise PathOutside(
            f"The path {name!r} leaves the testbed's folder.",
            hint="Use relative paths below the folder of kvm-compose.yaml.",
        )
    sizes = [len(part.encode()) for part in parts]
    if sum(sizes) + len(sizes) > MAX_PATH_BYTES or max(sizes) > MAX_NAME_BYTES:
        raise PathOutside(
            f"The path {name[:60]!r}… is too long.",
            hint=f"Names may have {MAX_NAME_BYTES} bytes, paths {MAX_PATH_BYTES}.",
        )
    return "/".join(parts)


def read_archive(name: str, content: bytes) -> dict[str, bytes]:
    """Return the files of a zip or tar archive. Raises: UploadRefused, PathOutside."""
    endings = (end for end in ARCHIVE_ENDINGS if name.lower().endswith(end))
    packing = ARCHIVE_ENDINGS[next(endings, ".tar")]
    limits = (str(MAX_FILES), str(MAX_BYTES))
    words = (sys.executable, "-I", archive_reader.__file__, packing, *limits)
    try:
        done = subprocess.run(
            words, input=content, capture_output=True, timeout=READ_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise _unreadable(name) from exc
    files, end = _parsed(done.stdout)
    if end != {"end": ""}:
        logger.info("%s was refused: %s %s", name, end, done.stderr[-500:])
        raise _refused(name, end.get("end", ""), end.get("name", ""))
    return {safe_path(path): data for path, data in files.items()}


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
    """Refuse too many files or bytes, and a huge YAML. Raises: UploadRefused."""
    check_yaml(YAML_NAME, len(files.get(YAML_NAME, b"")))
    if len(files) > MAX_FILES:
        raise UploadRefused(f"These are more than {MAX_FILES} files.")
    if sum(map(len, files.values())) > MAX_BYTES:
        raise _too_large()


def check_yaml(path: str, size: int) -> None:
    """Refuse a YAML of more bytes than are ever parsed. Raises: UploadRefused."""
    if path == YAML_NAME and size > SIZE_LIMIT_BYTES:
        raise UploadRefused(
            f"{YAML_NAME} has more than {SIZE_LIMIT_BYTES // 1024} KiB.",
            hint="It is text of a few kilobytes; is it the right file?",
        )


def _is_plain(name: str) -> bool:
    """Refuse control characters and invalid text, which no address can name."""
    return not any(unicodedata.category(char) in {"Cc", "Cs"} for char in name)


def _parsed(output: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """Parse the reader's output: the files, and its last line; {} for a killed one."""
    files: dict[str, bytes] = {}
    stream = io.BytesIO(output)
    with suppress(ValueError):  # half a line
        for line in stream:
            header = json.loads(line)
            if "size" not in header:
                return files, header
            files[header["name"]] = stream.read(header["size"])
    return files, {}


def _missing_yaml(files: Mapping[str, bytes]) -> str:
    names = sorted(files)[:5]
    if not names:
        return "There are no files in this upload."
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return f"There is no {YAML_NAME} among: {', '.join(names)}{more}."


def _refused(name: str, reason: str, member: str) -> UploadRefused:
    match reason:
        case "files":
            return UploadRefused(f"The archive holds more than {MAX_FILES} files.")
        case "entries":
            return UploadRefused("The archive holds too many entries.")
        case "size":
            return _too_large()
        case "header":
            return UploadRefused("A name in the archive is too long.")
        case "kind":
            return UploadRefused(
                f"{member!r} in the archive is a link or a device.",
                hint="Pack plain files and folders only.",
            )
    return _unreadable(name)


def _too_large() -> UploadRefused:
    return UploadRefused(f"This is more than {MAX_BYTES // 1024**2} MiB.")


def _unreadable(name: str) -> UploadRefused:
    return UploadRefused(
        f"{name} is not an archive that can be read.",
        hint=f"Use {', '.join(ARCHIVE_ENDINGS)} without a password, packed as its name "
        "says.",
    )
