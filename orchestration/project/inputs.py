"""The inputs of a state besides its spec and hosts: the user's files.

The server reads them in the testbed's folder, the command line and other clients in the
user's own, so that both build the same state and the same plan.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestration.compose.disk_files import HEAD_BYTES, packing_of, stamp_of
from orchestration.compose.files import stored_form
from orchestration.compose.language.built import built_guest
from orchestration.compose.language.schema import CloudImage, Machine, Spec
from orchestration.project.digests import digest_of_context, digest_of_script
from orchestration.project.passwords import hash_password
from orchestration.state.build import Inputs
from orchestration.state.clones import context_key, expand
from orchestration.state.disk_bases import DiskFile
from orchestration.state.model import State


def read_inputs(
    files: Path,
    spec: Spec,
    *,
    salt: str,
    disk_files: Mapping[str, DiskFile] | None = None,
) -> Inputs:
    """Read the files of a checked spec below `files`; `salt` is that of passwords.

    A client hands in the `disk_files` of the server, on which the disks are.

    Raises: PathOutside, ImageFailed (a context that cannot be packed), OSError.
    """
    return Inputs(
        script_sha256=_script_digests(spec, files),
        disk_files=disk_files_of(spec, files) if disk_files is None else disk_files,
        password_hashes=_password_hashes(spec, salt),
    )


def is_disk_edited(state: State) -> bool:
    """Return whether a user's disk or ISO file is another one since.

    One that is gone is not: its copy stays in use.
    """
    images = {guest.image for guest in state.machines if guest.image.is_own}
    return any(
        _stamp_now(Path(image.source)) not in ("", image.stamp) for image in images
    )


def _stamp_now(path: Path) -> str:
    try:
        return stamp_of(path.stat())
    except OSError:  # the checks report it
        return ""


def _script_digests(spec: Spec, files: Path) -> dict[str, str]:
    """Digest all scripts and contexts."""
    expanded = expand(spec)
    images = _cloud_images(expanded.all_started.machines)
    paths = {path for i in images for path in (i.setup_script, i.run_script) if path}
    contexts = {i.context for i in images if i.context}
    return {path: digest_of_script(files, path) for path in paths} | {
        context_key(path): digest_of_context(files, path) for path in contexts
    }


def _cloud_images(machines: Iterable[Machine]) -> list[CloudImage]:
    disks = [built_guest(machine).libvirt_type for machine in machines]
    return [disk for disk in disks if isinstance(disk, CloudImage)]


def disk_files_of(spec: Spec, files: Path) -> dict[str, DiskFile]:
    """Stamp the users' disks by size and time instead of gigabytes of content.

    Raises: OSError.
    """
    disks = [built_guest(machine).libvirt_type for machine in spec.machines]
    paths = {disk.path for disk in disks if not isinstance(disk, CloudImage)}
    return {
        path: _disk_file(stored_form(Path(files.resolve(), path)).resolve())
        for path in paths
    }


def _disk_file(path: Path) -> DiskFile:
    found = path.stat()
    is_packed = _is_packed(path)
    return DiskFile(str(path), found.st_size, stamp_of(found), is_packed=is_packed)


def _is_packed(path: Path) -> bool:
    """Return whether a file is packed; one that only root may read is used as it is."""
    try:
        with path.open("rb") as file:
            return packing_of(file.read(HEAD_BYTES)) is not None
    except PermissionError:
        return False


def _password_hashes(spec: Spec, salt: str) -> dict[str, str]:
    kinds = [built_guest(machine) for machine in spec.machines]
    return {
        password: hash_password(password, salt=salt)
        for password in {kind.password for kind in kinds if kind.password}
    }
