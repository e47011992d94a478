"""A testbed's folder that is a dictionary, and a catalogue with a local image."""

from dataclasses import dataclass, field

from orchestration.compose.catalogue import Catalogue, Image, load_catalogue
from orchestration.compose.files import HEAD_BYTES
from orchestration.compose.language.normal import build_machine, build_spec
from orchestration.compose.language.schema import Spec
from orchestration.compose.language.written import Document


def read_spec(data: dict[str, object]) -> Spec:
    """Build a spec from YAML values without any check."""
    document = Document.model_validate(data)
    machines = tuple(build_machine(machine) for machine in document.machines)
    return build_spec(machines, document.network, document.testbed_options)


@dataclass
class FakeFiles:
    """Files by path; `sizes` overrides sizes, `outside` are links that lead out."""

    files: dict[str, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)

    def inside(self, path: str) -> bool:
        return path not in self.outside

    def exists(self, path: str) -> bool:
        return self.is_file(path) or self.is_folder(path)

    def is_file(self, path: str) -> bool:
        return path in self.files

    def is_folder(self, path: str) -> bool:
        return path in self.folders

    def size_bytes(self, path: str, *, at_most: int) -> int:
        return self.sizes.get(path, len(self.files.get(path, b"")))

    def head(self, path: str, size: int = HEAD_BYTES) -> bytes:
        return self.files.get(path, b"")[:size]


def catalogue_with_test_guest() -> Catalogue:
    local = Image(name="test_guest", path="/images/test_guest.qcow2")
    return Catalogue([*load_catalogue().values(), local])
