"""Reads a seed image for display: names, sizes, one file.

Used by the web's artefacts page, which decides what may be seen. Reads the image as it
was written, not its sources: those may have been edited since.
"""

import io
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from orchestration.errors import ImageFailed


def seed_sizes(image: Path) -> dict[str, int]:
    """Return the files of a seed by name, with their sizes. Raises: ImageFailed."""
    with _opened(image) as iso:
        files = [child for child in iso.list_children(joliet_path="/") if child]
        return {
            child.file_identifier().decode("utf-16-be"): child.get_data_length()
            for child in files
            if child.is_file()
        }


def read_from_seed(image: Path, name: str) -> bytes:
    """Return one file of a seed. Raises: ImageFailed."""
    buffer = io.BytesIO()
    with _opened(image) as iso:
        iso.get_file_from_iso_fp(buffer, joliet_path=f"/{name}")
    return buffer.getvalue()


def list_archive_on_seed(image: Path, name: str) -> list[str]:
    """Return a line for each member of a tar on a seed. Raises: ImageFailed."""
    with (
        _opened(image) as iso,
        iso.open_file_from_iso(joliet_path=f"/{name}") as stream,
        tarfile.open(fileobj=stream, mode="r:") as archive,
    ):
        return [_line(member) for member in archive]


def _line(member: tarfile.TarInfo) -> str:
    kind = stat.S_IFDIR if member.isdir() else stat.S_IFLNK if member.issym() else 0
    mode = stat.filemode((kind or stat.S_IFREG) | member.mode)
    target = f" -> {member.linkname}" if member.issym() else ""
    return f"{mode} {member.size:>10} {member.name}{target}"


@contextmanager
def _opened(image: Path) -> Iterator[pycdlib.PyCdlib]:
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(image))
    except (OSError, PyCdlibException) as exc:
        raise _unreadable(image, exc) from exc
    try:
        yield iso
    except (OSError, PyCdlibException, tarfile.TarError) as exc:
        raise _unreadable(image, exc) from exc
    finally:
        iso.close()


def _unreadable(image: Path, error: Exception) -> ImageFailed:
    return ImageFailed(
        f"The seed {image.name} cannot be read.",
        hint="Generate the artefacts again.",
        detail=str(error),
    )
