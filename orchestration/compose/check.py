"""Check a YAML against every rule of the language, for the web and the command line.

`check` reads the text, applies the rules of `rules/` to the parts that could be read,
and returns all findings at once, sorted by line. It takes files as `Files` and allowed
folders, images as a `Catalogue`, and hosts as `KnownHost`s; without hosts it leaves out
the rules about hosts. Parts that are not built yet are no findings:
`language/built.py`.
"""

from collections.abc import Iterator, Sequence

from orchestration.compose.catalogue import Catalogue
from orchestration.compose.draft import Draft
from orchestration.compose.files import Files
from orchestration.compose.loader import Loaded, conclude, load_spec
from orchestration.compose.pools import Ranges
from orchestration.compose.reading.positions import Positions, show_path
from orchestration.compose.rules.clones import check_scaling
from orchestration.compose.rules.controllers import check_controllers
from orchestration.compose.rules.files import check_files
from orchestration.compose.rules.hosts import KnownHost, check_hosts
from orchestration.compose.rules.images import check_images
from orchestration.compose.rules.interfaces import check_interfaces
from orchestration.compose.rules.machines import check_machines
from orchestration.compose.rules.networks import check_cards, check_network
from orchestration.compose.rules.static_addresses import check_static_addresses
from orchestration.compose.rules.switches import check_ovn
from orchestration.errors import Finding


def check(
    text: str | bytes,
    *,
    files: Files,
    catalogue: Catalogue,
    testbed_name: str = "",
    file_name: str = "kvm-compose.yaml",
    image_folders: Sequence[Files] = (),
    hosts: Sequence[KnownHost] = (),
    network_cards: Sequence[str] | None = None,
    ranges: Ranges | None = None,
) -> Loaded:
    """Load a YAML and apply every rule; never raises for a fault in the YAML.

    An empty `testbed_name` leaves out the rule about the length of host names.
    `image_folders` are the folders besides the testbed's own that may hold disks,
    `network_cards` the cards of main that bridges may have; None leaves that rule out.
    `ranges` has the testbed's own subnet once the testbed has a number.
    """
    loaded = load_spec(text, file_name=file_name)
    draft, positions = loaded.draft, loaded.positions
    judged = [
        *check_machines(draft, positions, catalogue, testbed_name),
        *check_images(draft, positions, catalogue),
        *check_interfaces(draft, positions),
        *check_static_addresses(draft, positions, ranges or Ranges(), hosts),
        *check_scaling(draft, positions),
        *check_network(draft, positions),
        *check_controllers(draft, positions, ranges or Ranges(), hosts),
        *check_cards(draft, positions, network_cards),
        *check_ovn(draft, positions),
        *check_files(draft, positions, files, image_folders),
        *check_hosts(draft, positions, hosts),
    ]
    places = {show_path(place) for place in draft.mended}
    findings = [*loaded.findings, *(f for f in judged if f.path not in places)]
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
