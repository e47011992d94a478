"""The bases of guests' disks: images of the catalogue and users' files.

Used by `state.guests` for one guest at a time. Disks are made from copies of users'
files in the hosts' images folders, whose name changes with the file, so that a newer
one is another copy. Pure: the caller passes the facts about the files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath

from orchestration.compose.catalogue import Image
from orchestration.compose.language.schema import (
    CloudImage,
    DeviceType,
    Disk,
    DiskBus,
    ExistingDisk,
    IsoGuest,
)
from orchestration.errors import StateError
from orchestration.state.model import HostState
from orchestration.state.model.images import DiskOrigin, ImageState

DEFAULT_USER = "nocloud"


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A user's file on main: its full path, and a stamp that changes with it.

    It is copied, or unpacked when it `is_packed`, into main's images folder, once for
    each stamp.
    """

    path: str
    size_bytes: int = 0
    stamp: str = ""
    is_packed: bool = False


@dataclass(frozen=True, slots=True)
class Base:
    """The base of a guest's disk, and the devices that the guest sees."""

    image: ImageState
    user: str
    origin: DiskOrigin = DiskOrigin.LINKED
    expand_gib: int = 0
    is_cdrom: bool = False
    is_readonly: bool = False
    bus: DiskBus = DiskBus.VIRTIO
    has_seed: bool = False

    @property
    def has_disk(self) -> bool:
        """Return whether there is a disk besides the CD-ROM."""
        return self.origin is not DiskOrigin.BLANK or self.expand_gib > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """The sources of bases; `files` has the users' by their paths as written."""

    directory: str
    main: HostState
    catalogue: Mapping[str, Image]
    files: Mapping[str, DiskFile] = field(default_factory=dict)

    def build(self, guest: str, disk: Disk, host: HostState) -> Base:
        """Build the base of one guest on its host. Raises: StateError."""
        match disk:
            case CloudImage():
                image = self._known(guest, disk)
                return Base(
                    self._of_catalogue(image, host),
                    image.user,
                    expand_gib=disk.expand_gigabytes,
                    has_seed=image.has_cloud_init,
                )
            case ExistingDisk():
                copied = disk.create_deep_copy
                is_cdrom = disk.device_type is DeviceType.CDROM
                return Base(
                    self._own(disk.path, disk.driver_type or "", host),
                    DEFAULT_USER,
                    DiskOrigin.COPIED if copied else DiskOrigin.LINKED,
                    is_cdrom=is_cdrom,
                    is_readonly=disk.readonly or is_cdrom,
                    bus=disk.driver,
                )
            case IsoGuest():
                return Base(
                    self._own(disk.path, "raw", host),
                    DEFAULT_USER,
                    DiskOrigin.BLANK,
                    expand_gib=disk.expand_gigabytes,
                    bus=disk.driver,
                )

    def golden(self, name: str, digest: str, host: HostState) -> ImageState:
        """Return the golden image that was made under a digest, for one host."""
        file = f"golden-{digest[:16]}.qcow2"
        return ImageState(
            name=f"golden image {name}",
            sha256="",
            format="qcow2",
            path=str(PurePosixPath(host.images_dir, file)),
            main_path=str(PurePosixPath(self.main.images_dir, file)),
            golden=digest,
        )

    def _known(self, guest: str, disk: CloudImage) -> Image:
        try:
            return self.catalogue[disk.name]
        except KeyError as exc:
            raise StateError(
                f"Guest {guest} wants image {disk.name}, which is in no catalogue.",
                hint="Use a name from the image catalogue, or add the image to it.",
            ) from exc

    def _of_catalogue(self, image: Image, host: HostState) -> ImageState:
        file = f"{image.name}-{image.digest[:16] or 'unverified'}.{image.format}"
        if image.is_stored:
            file = PurePosixPath(image.path).name
        return ImageState(
            name=image.name,
            sha256=image.sha256,
            format=image.format,
            path=str(PurePosixPath(host.images_dir, file)),
            main_path=str(PurePosixPath(self.main.images_dir, file)),
            sha512=image.sha512,
            source=image.path,
            url=image.url,
            sums_url=image.sums_url,
            size_bytes=image.size_bytes,
        )

    def _own(self, written: str, file_format: str, host: HostState) -> ImageState:
        """Describe a user's file; its name has a `/`, a catalogue's never."""
        path = PurePosixPath(written)
        default = DiskFile(str(PurePosixPath(self.directory, "files", path)))
        file = self.files.get(written, default)
        name = copy_name(
            file.path, file.stamp, ".disk" if file.is_packed else path.suffix
        )
        return ImageState(
            name=str(path) if path.is_absolute() else f"./{path}",
            sha256="",
            format=file_format,
            path=str(PurePosixPath(host.images_dir, name)),
            main_path=str(PurePosixPath(self.main.images_dir, name)),
            source=file.path,
            size_bytes=file.size_bytes,
            is_own=True,
            is_packed=file.is_packed,
            stamp=file.stamp,
        )


def copy_name(source: str, stamp: str, suffix: str) -> str:
    """Return the name of the copies of a user's file in the images folders.

    Only a short suffix is kept: a name may be longer than the kernel allows.
    """
    digest = sha256(f"{source}\0{stamp}".encode()).hexdigest()[:16]
    return f"own-{digest}{suffix[:8]}"
