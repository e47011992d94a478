"""Begin, artefacts, hosts and folders, and the clean-up that finds what was lost."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import StateError
from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions import artefacts, hosts
from orchestration.instructions.task import Task
from orchestration.plan.model import Command, Kind
from orchestration.providers.libvirt import domains, networks
from orchestration.state.model import HostKind, HostNetwork
from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from tests.fakes import FakeTransport
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests

MakeTask = Callable[..., Task]


def generate(rehearsal: Rehearsal) -> dict[str, Status]:
    results = rehearsal.obey(rehearsal.instruction(Kind.GENERATE_ARTEFACTS))
    return {result.name: result.status for result in results}


def test_begin_refuses_the_state_of_another_testbed(make_task: MakeTask) -> None:
    with pytest.raises(StateError, match="belongs to testbed demo"):
        artefacts.begin(make_task("other"))


def test_begin_refuses_to_work_without_the_guests_key(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.project.identity_file.unlink()

    with pytest.raises(StateError, match="key that logs in") as caught:
        artefacts.begin(make_task("demo"))

    assert "backup" in caught.value.hint


def test_begin_says_how_large_the_testbed_is(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    artefacts.begin(make_task("demo"))

    assert rehearsal.lines("demo") == ["2 guests on 2 hosts"]


def test_broken_state_is_found_before_anything_is_touched(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    task = make_task("demo")
    rehearsal.project.state_file.write_text("{")

    with pytest.raises(StateError, match="cannot be read"):
        artefacts.check_artefacts(task)


def test_artefacts_are_written_once(rehearsal: Rehearsal) -> None:
    assert generate(rehearsal) == {"a": Status.DONE, "b": Status.DONE}
    written = {p.name: p.stat().st_mtime_ns for p in _artefacts(rehearsal)}

    assert generate(rehearsal) == {"a": Status.UNCHANGED, "b": Status.UNCHANGED}

    assert {p.name: p.stat().st_mtime_ns for p in _artefacts(rehearsal)} == written


def test_only_the_guest_that_changed_gets_new_artefacts(rehearsal: Rehearsal) -> None:
    generate(rehearsal)
    (rehearsal.project.artefacts / "b-domain.xml").unlink()

    assert generate(rehearsal) == {"a": Status.UNCHANGED, "b": Status.DONE}
    assert rehearsal.lines("b")[-1] == "wrote b-domain.xml"


def test_environment_is_a_reason_for_a_new_seed(rehearsal: Rehearsal) -> None:
    generate(rehearsal)

    rehearsal.build(two_guests(environment={"COLOUR": "blue"}))

    assert generate(rehearsal)["a"] is Status.DONE


def test_no_private_key_is_in_any_artefact(rehearsal: Rehearsal) -> None:
    of_earlier_version = rehearsal.project.artefacts / "a-host-key"
    of_earlier_version.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")

    generate(rehearsal)

    files = _artefacts(rehearsal)
    assert {"a-seed.iso", "b-seed.iso"} <= {file.name for file in files}
    for file in files:
        assert b"PRIVATE KEY" not in file.read_bytes()
        assert b"ed25519_private" not in file.read_bytes()


def test_changed_context_makes_a_new_seed(rehearsal: Rehearsal) -> None:
    (rehearsal.project.files / "data").mkdir()
    (rehearsal.project.files / "data" / "one.txt").write_text("1")
    rehearsal.build(two_guests(context="data"))
    generate(rehearsal)
    assert generate(rehearsal)["a"] is Status.UNCHANGED

    (rehearsal.project.files / "data" / "one.txt").write_text("2")

    assert generate(rehearsal)["a"] is Status.DONE


def test_missing_context_is_named(rehearsal: Rehearsal) -> None:
    rehearsal.build(two_guests(context="nothing"))

    result = next(rehearsal.obey(rehearsal.instruction(Kind.GENERATE_ARTEFACTS)))

    assert result.status is Status.FAILED
    assert "The context nothing of guest a does not exist" in result.message


def test_host_tells_what_it_has(rehearsal: Rehearsal) -> None:
    results = list(rehearsal.obey(rehearsal.instruction(Kind.CHECK_HOSTS)))

    assert {r.message for r in results} == {"online"}
    (line,) = rehearsal.lines("host-b")
    assert "16 CPUs" in line
    assert "qemu guests" in line
    assert "system datapath" in line


def test_remark_about_a_host_is_a_warning_with_its_remedy(
    rehearsal: Rehearsal, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = hosts.examine(make_task("host-b", host="host-b").host, scope=Scope())
    changed = {name: getattr(seen, name) for name in type(seen).__slots__}
    changed |= {"remark": "The disk is slow.", "hint": "Buy another."}
    monkeypatch.setattr(hosts, "examine", lambda *_, **__: type(seen)(**changed))

    outcome = hosts.check_hosts(make_task("host-b", host="host-b"))

    assert (outcome.status, outcome.message, outcome.hint) == (
        Status.WARNING,
        "The disk is slow.",
        "Buy another.",
    )


def test_underlay_that_shrank_is_a_warning_before_guests_start(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = HostNetwork(tunnel_device="wg0", tunnel_mtu=1420)
    monkeypatch.setattr(hosts, "host_network", lambda *_, **__: narrow)

    outcome = hosts.check_hosts(make_task("host-b", host="host-b"))

    assert outcome.status is Status.WARNING
    assert "wg0 of host-b carries packets of 1420 bytes" in outcome.message


def test_folders_are_made_once_on_each_host(rehearsal: Rehearsal) -> None:
    instruction = rehearsal.instruction(Kind.PREPARE_HOSTS)

    first = {r.status for r in rehearsal.obey(instruction)}
    again = {r.status for r in rehearsal.obey(instruction)}

    assert (first, again) == ({Status.DONE}, {Status.UNCHANGED})
    guest = rehearsal.state.guest("b")
    folders = rehearsal.memory("host-b")["folders"]
    assert set(folders) == {"/srv/images", guest.artefacts_dir}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_folders_let_qemu_pass_whatever_the_accounts_umask(
    rehearsal: Rehearsal, make_task: MakeTask, tmp_path: Path, umask: int
) -> None:
    projects = tmp_path / "remote" / "testbeds"
    guest = rehearsal.state.guest("b")
    there = {"artefacts_dir": str(projects / "demo/artefacts")}
    guests = (rehearsal.state.guest("a"), guest.model_copy(update=there))
    task = make_task("host-b", host="host-b")
    images = {"images_dir": str(tmp_path / "remote/images")}
    host = replace(task.host, state=task.host.state.model_copy(update=images))
    host = replace(host, transport=LocalTransport())
    state = rehearsal.state.model_copy(update={"guests": guests})
    kept = os.umask(umask)

    try:
        hosts.prepare_hosts(replace(task, state=state, host=host, scope=Scope()))
    finally:
        os.umask(kept)

    made = ("testbeds", "testbeds/demo", "testbeds/demo/artefacts", "images")
    modes = {(tmp_path / "remote" / each).stat().st_mode & 0o777 for each in made}
    assert modes == {0o711}


def test_clean_up_removes_what_the_state_does_not_know_any_more(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    clean = rehearsal.instruction(Kind.CLEAN_HOSTS, Command.DOWN)
    host = rehearsal.hosts.open(rehearsal.state.host("host-b"))

    result = next(r for r in rehearsal.obey(clean) if r.host == "host-b")

    domain = rehearsal.state.guest("b").domain
    assert result.status is Status.DONE
    assert result.message.startswith(f"removed {domain}, ")
    assert f"domain {domain} was left over" in rehearsal.lines("host-b")
    assert domains.observe(host.libvirt) == ()
    assert networks.observe(host.libvirt) == ()
    memory = rehearsal.memory("host-b")
    assert (memory["bridges"], memory["ports"]) == ({}, {})


def test_clean_up_leaves_other_testbeds_alone(rehearsal: Rehearsal) -> None:
    host = rehearsal.hosts.open(rehearsal.state.host("host-b"))
    words = ("add-br", "other", "--", "set", "Bridge", "other")
    tag = "external_ids:testbed=another"
    host.transport.run(command("ovs-vsctl", *words, tag), scope=Scope())

    rehearsal.down()

    assert "other" in rehearsal.memory("host-b")["bridges"]


def test_clearing_leaves_mains_folder_to_the_project(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()

    on_main = hosts.clear_hosts(make_task("host-a"))
    remote = hosts.clear_hosts(make_task("host-b", host="host-b"))

    assert (on_main.status, remote.status) == (Status.UNCHANGED, Status.DONE)
    assert "rm -rf -- /srv/projects/demo" in rehearsal.asked("host-b")
    assert not any(line.startswith("rm -rf") for line in rehearsal.asked("host-a"))


def _artefacts(rehearsal: Rehearsal) -> list[Path]:
    return list(rehearsal.project.artefacts.iterdir())


def test_seed_on_another_host_is_readable_by_qemus_group_and_no_other(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    generate(rehearsal)
    task = make_task("b", host="host-b")
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    there = FakeTransport(
        "host-b",
        [
            (re.compile("sha256sum .*"), 1),
            (re.compile("chgrp libvirt-qemu .*"), 1),
            (re.compile("chgrp qemu .*"), 0),
        ],
    )

    artefacts.push_artefacts(replace(task, host=Host(real, there, task.host.libvirt)))

    guest = task.state.guest("b")
    assert there.modes == {guest.seed: 0o640, guest.xml: 0o640}
    assert {f"chgrp qemu {path}" for path in there.modes} <= set(map(str, there.calls))
