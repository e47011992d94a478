"""Which testbeds' files are swept: only what is idle, readable and nobody's."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.instructions.base import Command, Options
from testbed.models import Host, Inventory, Run, Testbed
from testbed.services.planning import prepare
from testbed.tasks import stale_files
from testbed.tasks.stale_files import sweep_files_of
from tests.testbed.conftest import Doors


@pytest.fixture
def asked(
    testbed: Testbed, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[object]]:
    """What is asked of each host; every host has one stale file and one copy."""
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    found: dict[str, list[object]] = {"artefacts": [], "copies": [], "removed": []}

    def stale(host, states, *, scope):
        found["artefacts"].append((host.state.name, sorted(states)))
        return (f"/{host.state.name}/gone-seed.iso",)

    def copies(host, states, *, scope):
        found["copies"].append(host.state.name)
        return (f"/{host.state.name}/own-1",)

    def remove(host, paths, *, scope):
        found["removed"] += paths

    monkeypatch.setattr(stale_files, "stale_artefacts", stale)
    monkeypatch.setattr(stale_files, "unused_copies", copies)
    monkeypatch.setattr(stale_files, "remove_files", remove)
    return found


@pytest.fixture
def kept(testbed: Testbed, settings: object) -> Hosts:
    return Hosts(Path(settings.RUNTIME_DIR))


def test_stale_files_of_all_hosts_go_and_are_counted(asked, kept: Hosts) -> None:
    assert sweep_files_of(kept) == 4

    assert asked["artefacts"] == [("main", ["lab"]), ("host-b", ["lab"])]
    assert sorted(asked["removed"]) == [
        "/host-b/gone-seed.iso",
        "/host-b/own-1",
        "/main/gone-seed.iso",
        "/main/own-1",
    ]


def test_testbed_with_a_run_on_is_left_alone_and_all_copies_stay(
    asked, kept: Hosts, testbed: Testbed, owner: User
) -> None:
    Run.objects.create(testbed=testbed, command="up", plan={}, asked_by=owner)

    sweep_files_of(kept)

    assert asked["artefacts"] == [("main", []), ("host-b", [])]
    assert asked["copies"] == []


def test_broken_state_keeps_its_files_and_all_copies(
    asked, kept: Hosts, testbed: Testbed
) -> None:
    testbed.project.state_file.write_text("{")

    sweep_files_of(kept)

    assert asked["artefacts"] == [("main", []), ("host-b", [])]
    assert asked["copies"] == []


def test_copies_stay_where_an_orphan_might_use_one(asked, kept: Hosts) -> None:
    thing = {"kind": "domain", "name": "ghost-web", "testbed": "ghost"}
    blank = {"label": "", "place": "", "is_active": True}
    Inventory.objects.create(
        host=Host.objects.get(name="host-b"),
        things=[thing | blank],
        looked_at=timezone.now(),
    )

    sweep_files_of(kept)

    assert asked["copies"] == ["main"]


def test_silent_host_does_not_keep_the_others_from_being_swept(
    asked, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Host.objects.create(name="dead", address="127.0.0.1", port=9)

    assert sweep_files_of(kept) == 4
