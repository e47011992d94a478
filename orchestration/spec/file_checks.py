"""Rules about the files that a YAML points to: scripts and context folders.

Part of `checks.py`; sees files only through `Files`, so it stays pure. Every path is
relative to the testbed's folder and must stay in it.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from orchestration.errors import Finding
from orchestration.spec.files import Files
from orchestration.spec.loader import Draft
from orchestration.spec.positions import Path, Positions

CONTEXT_LIMIT_BYTES = 64 * 1024 * 1024
SCRIPT_LIMIT_BYTES = 1024 * 1024


def check_files(draft: Draft, positions: Positions, files: Files) -> Iterator[Finding]:
    """Check every script and context of the draft."""
    for index, machine in draft.machines:
        image = machine.libvirt.libvirt_type
        base: Path = ("machines", index, "libvirt", "libvirt_type", "cloud_image")
        for key in ("setup_script", "run_script"):
            script = image.setup_script if key == "setup_script" else image.run_script
            if script is not None:
                yield from _script((*base, key), script, positions, files)
        if image.context is not None:
            yield from _context((*base, "context"), image.context, positions, files)


def _script(
    path: Path, script: str, positions: Positions, files: Files
) -> Iterator[Finding]:
    problem = _place_problem(path, script, positions, files)
    if problem:
        yield problem
    elif not files.is_file(script):
        yield positions.error(path, f"`{script}` is not a file.", "Name a script.")
    else:
        yield from _content(path, script, positions, files)


def _content(
    path: Path, script: str, positions: Positions, files: Files
) -> Iterator[Finding]:
    size = files.size_bytes(script, at_most=SCRIPT_LIMIT_BYTES)
    head = files.head(script)
    if size == 0:
        yield positions.error(
            path, f"The script `{script}` is empty.", "Write it, or remove the key."
        )
    elif size > SCRIPT_LIMIT_BYTES:
        yield positions.error(
            path,
            f"The script `{script}` is larger than {SCRIPT_LIMIT_BYTES // 1024} KiB.",
            "Put data into the `context` folder.",
        )
    elif head.split(b"\n", 1)[0].endswith(b"\r"):
        yield positions.warning(
            path,
            f"The script `{script}` has Windows line endings; sh stumbles over them.",
            "Save it with Unix line endings.",
        )
    elif not head.startswith(b"#!"):
        yield positions.warning(
            path,
            f"The script `{script}` does not start with `#!`; it is run with sh.",
            "Make its first line `#!/bin/sh`.",
        )


def _context(
    path: Path, context: str, positions: Positions, files: Files
) -> Iterator[Finding]:
    problem = _place_problem(path, context, positions, files)
    if problem:
        yield problem
    elif not (files.is_file(context) or files.is_folder(context)):
        yield positions.error(path, f"`{context}` is neither a file nor a folder.")
    elif files.size_bytes(context, at_most=CONTEXT_LIMIT_BYTES) > CONTEXT_LIMIT_BYTES:
        limit = CONTEXT_LIMIT_BYTES // (1024 * 1024)
        yield positions.error(
            path,
            f"The context `{context}` is larger than {limit} MiB.",
            "Fetch large files in the setup script instead.",
        )


def _place_problem(
    path: Path, value: str, positions: Positions, files: Files
) -> Finding | None:
    """Say what is wrong with where a path points; None when it is all right."""
    key = path[-1]
    if not value.strip():
        return positions.error(path, f"`{key}` is empty.", "Name a file, or remove it.")
    if PurePosixPath(value).is_absolute() or value.startswith("~"):
        return positions.error(
            path,
            f"`{value}` is an absolute path.",
            "Paths start in the testbed's folder; put the file beside the YAML.",
        )
    if ".." in PurePosixPath(value).parts or not files.inside(value):
        return positions.error(
            path,
            f"`{value}` leaves the testbed's folder.",
            "Put the file beside kvm-compose.yaml or in a folder there.",
        )
    if not files.exists(value):
        return positions.error(
            path,
            f"`{value}` does not exist in the testbed's folder.",
            "Upload it, or correct the path.",
        )
    return None
