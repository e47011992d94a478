"""The findings of a YAML for the pages: of a testbed's folder, or of an upload.

Used by the views and forms. The rules are the engine's (`orchestration.compose.check`);
this module gives them the installation's image catalogue and files in memory.
"""

from collections.abc import Mapping

from django.conf import settings
from django.contrib.auth.models import User

from orchestration.compose.catalogue import Catalogue, load_catalogue
from orchestration.compose.check import check
from orchestration.compose.files import HEAD_BYTES, FolderFiles, composed
from orchestration.compose.kept import Given, KeptFindings
from orchestration.errors import Finding, PathOutside, Severity
from orchestration.project.folder import YAML_NAME
from orchestration.state.model import HostState
from testbed.models import Host, Testbed
from testbed.testbeds.capacity import Lab
from testbed.testbeds.uploads import safe_path

_KEPT = KeptFindings()


class MemoryFiles:
    """`Files` of an upload: paths and bytes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = {composed(path): content for path, content in files.items()}

    def inside(self, path: str) -> bool:
        """Return whether the path stays in the folder."""
        try:
            safe_path(path)
        except PathOutside:
            return False
        return True

    def exists(self, path: str) -> bool:
        """Return whether a file or folder exists there."""
        return self.is_file(path) or self.is_folder(path)

    def is_file(self, path: str) -> bool:
        """Return whether a file is there."""
        return self.inside(path) and _plain(path) in self.files

    def is_folder(self, path: str) -> bool:
        """Return whether a folder is there."""
        return self.inside(path) and bool(self._below(path))

    def size_bytes(self, path: str, *, at_most: int) -> int:
        """Return the size of a file or of everything in a folder."""
        if self.is_file(path):
            return len(self.files[_plain(path)])
        return sum(len(self.files[name]) for name in self._below(path))

    def head(self, path: str, size: int = HEAD_BYTES) -> bytes:
        """Return the first bytes of a file; empty when it is not there."""
        return self.files[_plain(path)][:size] if self.is_file(path) else b""

    def _below(self, path: str) -> list[str]:
        prefix = f"{_plain(path)}/" if path.strip("./") else ""
        return [name for name in self.files if name.startswith(prefix)]


def _plain(path: str) -> str:
    return safe_path(composed(path))


def findings_of_upload(files: Mapping[str, bytes], user: User) -> tuple[Finding, ...]:
    """Check a YAML of a user that is not saved yet."""
    return check(
        files.get(YAML_NAME, b""),
        files=MemoryFiles(files),
        catalogue=catalogue_of(user),
        image_folders=_image_folders(),
        network_cards=settings.NETWORK_CARDS,
        hosts=known_hosts(),
        ranges=settings.ADDRESS_POOLS.ranges(),
    ).findings


def findings_of(testbed: Testbed, lab: Lab | None = None) -> tuple[Finding, ...]:
    """Check a testbed's current YAML; no findings when there is none."""
    found = testbed.project
    return (
        findings_of_text(testbed, found.read_yaml(), lab)
        if found.yaml.is_file()
        else ()
    )


def findings_of_text(
    testbed: Testbed, content: bytes, lab: Lab | None = None
) -> tuple[Finding, ...]:
    """Check a new text of a testbed's YAML, together with its existing files."""
    lab = lab or Lab()
    given = Given(
        content,
        catalogue=catalogue_of(testbed.owner, lab),
        testbed_name=testbed.slug,
        network_cards=settings.NETWORK_CARDS,
        ranges=settings.ADDRESS_POOLS.ranges(testbed.number),
        hosts=[host.to_state() for host in lab.hosts],
    )
    return _KEPT.of(given, FolderFiles(testbed.project.files), _image_folders())


def _image_folders() -> list[FolderFiles]:
    return [FolderFiles(folder) for folder in settings.DISK_FOLDERS]


def errors_among(findings: tuple[Finding, ...]) -> int:
    """Count the findings that forbid `up`."""
    return sum(finding.severity is Severity.ERROR for finding in findings)


def known_hosts() -> list[HostState]:
    """Return the testbed hosts, for the rules about capacity and names of hosts."""
    return [host.to_state() for host in Host.objects.all()]


def catalogue_of(user: User, lab: Lab | None = None) -> Catalogue:
    """Return the images that a user's YAML may name.

    Where two have one name, the user's own is used, and a shared one last.
    """
    usable = (lab or Lab()).images_of(user)
    own = [image.entry for image in usable if image.owner_id == user.pk]
    shared = [image.entry for image in usable if image.owner_id != user.pk]
    return Catalogue([*shared, *installed_catalogue().values(), *own])


def installed_catalogue() -> Catalogue:
    """Return the shipped images and those that were built here."""
    extra = settings.LOCAL_CATALOGUE
    return load_catalogue(extra if extra.exists() else None)


def closed_hosts() -> frozenset[str]:
    """Return the hosts that get no new guests: lab admins drained them."""
    drained = Host.objects.filter(drained_at__isnull=False)
    return frozenset(drained.values_list("name", flat=True))
