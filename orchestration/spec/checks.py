"""Every rule of the language, over one YAML: the door for the web and the CLI.

`check` reads the text, applies the rules of `machine_checks`, `network_checks` and
`file_checks` to whatever could be read, and returns all findings at once, sorted by
line. Pure: files come in as `Files`, images as a `Catalogue`. A rule that needs to
know hosts (is there room?) belongs to the plan, not here.
"""

from collections.abc import Iterator

from orchestration.errors import Finding
from orchestration.spec.catalogue import Catalogue
from orchestration.spec.file_checks import check_files
from orchestration.spec.files import Files
from orchestration.spec.loader import Draft, Loaded, conclude, load_spec
from orchestration.spec.machine_checks import check_machines
from orchestration.spec.network_checks import check_network
from orchestration.spec.positions import Positions

__all__ = ["check", "check_files"]


def check(
    text: str | bytes,
    *,
    files: Files,
    catalogue: Catalogue,
    testbed_name: str = "",
    file_name: str = "kvm-compose.yaml",
) -> Loaded:
    """Load a YAML and apply every rule; never raises for what a user wrote.

    An empty `testbed_name` leaves out the rule about the length of host names.
    """
    loaded = load_spec(text, file_name=file_name)
    draft, positions = loaded.draft, loaded.positions
    findings = [
        *loaded.findings,
        *check_machines(draft, positions, catalogue, testbed_name),
        *check_network(draft, positions),
        *check_files(draft, positions, files),
    ]
    if not any(finding.severity == "error" for finding in loaded.findings):
        findings += _nothing_to_do(draft, positions)
    return conclude(draft, positions, findings, file_name)


def _nothing_to_do(draft: Draft, positions: Positions) -> Iterator[Finding]:
    if not draft.machines:
        yield positions.warning(
            ("machines",),
            "There are no machines in this testbed.",
            "Add one under `machines`.",
        )
