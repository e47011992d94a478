"""Files that removed guests left: found by name and age on a machine's real disk."""

from pathlib import Path

from orchestration.hosts import Host
from orchestration.inventory.stale_files import (
    old_artefacts,
    remove_artefacts,
    stale_among,
)
from orchestration.state.model import HostKind
from orchestration.transport.base import Scope
from tests.orchestration.stores import StoreFolder

KEYS = ("host-key", "host-key.pub", "host-key.report")
ENDINGS = ("seed.iso", "seed.sha256", "domain.xml", *KEYS)


def artefact(folder: StoreFolder, name: str, *, days: float = 2.0) -> str:
    """A file of a certain age in the artefacts of testbed `lab`."""
    return str(folder.put(f"../projects/lab/artefacts/{name}", days=days).resolve())


def swept(host: Host, guests: dict[str, set[str]]) -> set[str]:
    old = old_artefacts(host, scope=Scope())
    gone = remove_artefacts(host, stale_among(old, guests), scope=Scope())
    return {Path(path).name for path in gone}


def test_artefacts_of_a_guest_that_no_state_has_go(
    host: Host, folder: StoreFolder
) -> None:
    for guest in ("web", "gone", "gone-too"):
        for ending in (*ENDINGS, "console.log", "disk.qcow2"):
            artefact(folder, f"{guest}-{ending}")
    artefact(folder, "notes.txt")

    gone = swept(host, {"lab": {"web"}})

    endings = (*ENDINGS, "console.log")
    assert gone == {f"{g}-{e}" for g in ("gone", "gone-too") for e in endings}
    left = {path.name for path in (folder.projects / "lab/artefacts").iterdir()}
    assert {"gone-disk.qcow2", "web-seed.iso", "notes.txt"} <= left
    assert not left & gone


def test_young_files_and_those_of_unknown_testbeds_stay(
    host: Host, folder: StoreFolder
) -> None:
    artefact(folder, "gone-seed.iso", days=0.01)
    folder.put("../projects/strange/artefacts/gone-seed.iso")
    folder.put("../projects/lab/files/gone-seed.iso")

    assert swept(host, {"lab": {"web"}}) == set()


def test_disk_that_was_not_finished_goes_after_a_day(
    host: Host, folder: StoreFolder
) -> None:
    name = "web-disk.qcow2.part"
    artefact(folder, name, days=0.5)
    assert swept(host, {"lab": {"web"}}) == set()

    artefact(folder, name, days=1.5)
    assert swept(host, {"other": {"web"}}) == set()
    assert swept(host, {"lab": {"web"}}) == {name}


def test_file_that_a_new_run_wrote_since_the_list_stays(
    host: Host, folder: StoreFolder
) -> None:
    path = artefact(folder, "gone-seed.iso")
    stale = stale_among(old_artefacts(host, scope=Scope()), {"lab": {"web"}})
    Path(path).write_text("anew")

    assert remove_artefacts(host, stale, scope=Scope()) == ()
    assert Path(path).read_text() == "anew"


def test_simulated_hosts_have_no_files(host: Host, folder: StoreFolder) -> None:
    artefact(folder, "gone-seed.iso")
    simulated = host.state.model_copy(update={"kind": HostKind.SIMULATED})
    rehearsing = Host(simulated, host.transport, host.libvirt)

    assert old_artefacts(rehearsing, scope=Scope()) == ()
