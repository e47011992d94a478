"""Rules about the files that a YAML points to: scripts, contexts, disks, volumes.

Part of `compose/check.py`; reads files only through `Files`. Every path is relative to
the testbed's folder and must stay in it; a disk may also be in a folder of images that
an administrator allowed, by its absolute path.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import PurePosixPath

from orchestration.compose.disk_files import (
    HEAD_BYTES,
    advice,
    is_without_boot_sector,
    no_disk,
)
from orchestration.compose.draft import Draft, Drafted
from orchestration.compose.files import AskedOnce, Files
from orchestration.compose.language.schema import (
    Android,
    CloudImage,
    DeviceType,
    Docker,
    DriverType,
    ExistingDisk,
    IsoGuest,
    Libvirt,
)
from orchestration.compose.language.written import GoldenScaling
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.scripts import Problem, script_problems
from orchestration.errors import Finding

CONTEXT_LIMIT_BYTES = 64 * 1024 * 1024
PROJECT_FOLDER = "${PWD}"
# Checks a script once, however many machines run it.
Judge = Callable[[str], tuple[Problem, ...]]


def check_files(
    draft: Draft,
    positions: Positions,
    files: Files,
    image_folders: Sequence[Files] = (),
) -> Iterator[Finding]:
    """Check every path of the draft."""
    own = AskedOnce(files)
    folders = (own, *map(AskedOnce, image_folders))
    judge = cache(partial(script_problems, own))
    for drafted in draft.machines:
        kind = drafted.machine.kind
        for path, script in _scripts(drafted):
            yield from _script(path, script, positions, own, judge)
        if isinstance(kind, Docker):
            yield from _docker(drafted.kind_path, kind, positions, own)
        elif isinstance(kind, Android) and kind.existing_avd is not None:
            path = (*drafted.kind_path, "existing_avd", "path")
            problem = _place_problem(path, kind.existing_avd, positions, own)
            yield from (problem,) if problem else ()
        elif isinstance(kind, Libvirt):
            yield from _disk(drafted, kind, positions, folders)


def _scripts(drafted: Drafted) -> Iterator[tuple[Path, str]]:
    """Yield every script of a machine and its clones with its path."""
    kind, scaling = drafted.machine.kind, drafted.scaling
    if isinstance(kind, Libvirt) and isinstance(kind.libvirt_type, CloudImage):
        image, base = kind.libvirt_type, drafted.disk_path
        if image.setup_script is not None:
            yield (*base, "setup_script"), image.setup_script
        if image.run_script is not None:
            yield (*base, "run_script"), image.run_script
    if isinstance(scaling, GoldenScaling):
        path = (*drafted.kind_path, "scaling")
        if scaling.shared_setup is not None:
            yield (*path, "shared_setup"), scaling.shared_setup
        for index, entry in enumerate(scaling.clone_setup):
            yield (*path, "clone_setup", index, "script"), entry.script
        for index, entry in enumerate(scaling.clone_run):
            yield (*path, "clone_run", index, "script"), entry.script


def _disk(
    drafted: Drafted, kind: Libvirt, positions: Positions, folders: Sequence[Files]
) -> Iterator[Finding]:
    disk, path = kind.libvirt_type, drafted.disk_path
    own = folders[0]
    if isinstance(disk, CloudImage):
        if disk.context is not None:
            yield from _context((*path, "context"), disk.context, positions, own)
        return
    at = (*path, "path")
    allowed = next((f for f in folders[1:] if f.inside(disk.path)), own)
    if PurePosixPath(disk.path).is_absolute() and allowed is not own:
        if not allowed.is_file(disk.path):
            message = f"`{disk.path}` is not a file."
            yield positions.error(at, message, "Name a disk image.")
        else:
            yield from _disk_content(at, disk, positions, allowed)
        return
    problem = _place_problem(at, disk.path, positions, own)
    if problem:
        yield problem
    elif not own.is_file(disk.path):
        yield positions.error(at, f"`{disk.path}` is not a file.", "Name a disk image.")
    else:
        yield from _disk_content(at, disk, positions, own)


def _disk_content(
    at: Path, disk: ExistingDisk | IsoGuest, positions: Positions, files: Files
) -> Iterator[Finding]:
    """Check a disk by its first bytes, unless the user declares it as raw."""
    if isinstance(disk, ExistingDisk) and disk.driver_type is DriverType.RAW:
        return
    head = files.head(disk.path, HEAD_BYTES)
    problem = no_disk(head, files.size_bytes(disk.path, at_most=1))
    is_disk = isinstance(disk, ExistingDisk) and disk.device_type is DeviceType.DISK
    if problem:
        yield positions.error(at, f"`{disk.path}` {problem}.", advice(problem))
    elif is_disk and is_without_boot_sector(head):
        yield positions.warning(
            at,
            f"`{disk.path}` is a raw disk without a boot sector: a guest does not boot "
            "from it.",
            "Name a disk with a system, or write `driver_type: raw` if it is meant.",
        )


def _docker(
    path: Path, kind: Docker, positions: Positions, files: Files
) -> Iterator[Finding]:
    if kind.env_file is not None:
        at = (*path, "env_file")
        problem = _place_problem(at, kind.env_file, positions, files)
        if problem:
            yield problem
        elif not files.is_file(kind.env_file):
            yield positions.error(at, f"`{kind.env_file}` is not a file.")
    for index, volume in enumerate(kind.volumes):
        at = (*path, "volumes", index, "source")
        source = volume.source
        if source.startswith(PROJECT_FOLDER):
            source = source.removeprefix(PROJECT_FOLDER).lstrip("/") or "."
        problem = _place_problem(at, source, positions, files)
        yield from (problem,) if problem else ()


def _script(
    path: Path, script: str, positions: Positions, files: Files, judge: Judge
) -> Iterator[Finding]:
    problem = _place_problem(path, script, positions, files)
    if problem:
        yield problem
    elif not files.is_file(script):
        yield positions.error(path, f"`{script}` is not a file.", "Name a script.")
    else:
        for found in judge(script):
            build = positions.error if found.is_error else positions.warning
            yield build(path, found.message, found.hint)


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
    """Return what is wrong with a path's target; None when it is allowed."""
    key = path[-1]
    if not value.strip():
        return positions.error(path, f"`{key}` is empty.", "Name a file, or remove it.")
    if PurePosixPath(value).is_absolute() or value.startswith("~"):
        return positions.error(
            path,
            f"`{value}` is an absolute path.",
            "Paths start in the testbed's folder; put the file beside the YAML."
            if key != "path"
            else "Put the file beside the YAML, or have its folder allowed.",
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
