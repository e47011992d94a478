"""From a testbed's folder to state and plan: when the state is built, when it is kept."""

import shutil
from hashlib import sha256

import pytest

from orchestration.errors import NotBuiltYet, SpecError, StateError
from orchestration.instructions.base import Command, Options
from orchestration.instructions.kinds import Kind
from orchestration.state.diff import diff
from testbed.findings import findings_of
from testbed.models import Host, Testbed
from testbed.services import digests
from testbed.services.planning import is_edited, prepare, wanted_state

pytestmark = pytest.mark.django_db
CONDITIONS = Testbed.Condition


def edit(testbed, old, new, count=-1):
    yaml = testbed.project.yaml
    text = yaml.read_text()
    assert old in text
    yaml.write_text(text.replace(old, new, count))


def deploy(testbed):
    state, _ = prepare(testbed, Command.UP, Options())
    testbed.condition = CONDITIONS.UP
    testbed.save()
    return state


def test_first_up_builds_writes_and_plans(testbed):
    state, plan = prepare(testbed, Command.UP, Options(provision=True))

    assert testbed.project.read_state() == state
    assert [guest.name for guest in state.guests] == ["web", "db"]
    assert plan.command == Command.UP
    assert plan.options.provision


def test_key_pair_is_made_once_and_private(testbed):
    first, _ = prepare(testbed, Command.UP, Options())
    second, _ = prepare(testbed, Command.UP, Options())

    private = testbed.project.identity_file
    assert first.public_key == second.public_key
    assert first.public_key.startswith("ssh-ed25519 ")
    assert private.stat().st_mode & 0o077 == 0
    assert str(private) == first.identity_file


def test_guests_keep_their_addresses_when_one_is_added(testbed):
    before, _ = prepare(testbed, Command.UP, Options())

    edit(
        testbed,
        "machines:\n",
        "machines:\n"
        "  - name: a-first\n"
        "    interfaces: [{bridge: lan}]\n"
        "    libvirt: {cpus: 1, memory_mb: 256, libvirt_type: "
        "{cloud_image: {name: cirros_0_6_2}}}\n",
    )
    after, _ = prepare(testbed, Command.UP, Options())

    assert len(after.guests) == 3
    for guest in before.guests:
        kept = after.guest(guest.name)
        assert kept.management == guest.management
        assert kept.interfaces == guest.interfaces


def kinds(plan):
    return {
        entry.kind: [r.name for r in entry.resources] for entry in plan.instructions
    }


def test_up_of_an_edited_yaml_restarts_what_changed_only(testbed):
    deploy(testbed)

    edit(testbed, "memory_mb: 256", "memory_mb: 512", count=1)
    state, plan = prepare(testbed, Command.UP, Options())

    assert state.guest("web").memory_mib == 512
    assert testbed.project.read_state() == state
    assert kinds(plan)["stop-changed-guests"] == ["web"]
    assert "stop-guests" not in kinds(plan)
    assert testbed.project.has_unfinished_change()


def test_renamed_guest_is_removed_by_the_next_up_and_by_down(testbed):
    deploy(testbed)
    edit(testbed, "name: db", "name: store")

    _, up = prepare(testbed, Command.UP, Options())
    _, again = prepare(testbed, Command.UP, Options())
    state, down = prepare(testbed, Command.DOWN, Options())

    assert again == up
    assert kinds(up)["stop-guests"] == kinds(up)["delete-disks"] == ["db"]
    assert kinds(up)["start-guests"] == ["web", "store"]
    assert {g.name for g in state.guests} == {"web", "store"}
    assert set(kinds(down)["stop-guests"]) == {"web", "store", "db"}


def test_edits_that_follow_each_other_forget_nothing(testbed):
    deploy(testbed)
    edit(testbed, "name: db", "name: store")
    prepare(testbed, Command.UP, Options())
    edit(testbed, "name: store", "name: shop")

    _, plan = prepare(testbed, Command.UP, Options())

    assert kinds(plan)["stop-guests"] == ["db", "store"]


def test_edit_that_was_taken_back_leaves_nothing_to_remove(testbed):
    deploy(testbed)
    edit(testbed, "name: db", "name: store")
    prepare(testbed, Command.UP, Options())
    edit(testbed, "name: store", "name: db")

    _, plan = prepare(testbed, Command.UP, Options())

    assert kinds(plan)["stop-guests"] == ["store"]
    assert kinds(plan)["start-guests"] == ["web", "db"]


def test_comment_in_the_yaml_is_no_change(testbed):
    deploy(testbed)
    edit(testbed, "machines:", "# more\nmachines:")

    state, plan = prepare(testbed, Command.UP, Options())

    assert not testbed.project.has_unfinished_change()
    assert "forget-removed" not in kinds(plan)
    assert state.yaml_sha256 == testbed.project.yaml_sha256()


def test_what_was_only_planned_needs_no_removal(testbed):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    edit(testbed, "name: db", "name: store")

    _, plan = prepare(testbed, Command.UP, Options())

    assert "stop-guests" not in kinds(plan)


def test_kept_disk_of_a_removed_guest_is_deleted_by_up_after_down(testbed):
    deploy(testbed)
    testbed.project.mark("db", disk="image.qcow2")
    testbed.condition = CONDITIONS.DOWN
    edit(testbed, "name: db", "name: store")

    _, plan = prepare(testbed, Command.UP, Options())

    assert kinds(plan)["delete-disks"] == ["db"]


def test_broken_edit_of_a_deployed_testbed_changes_nothing(testbed):
    deployed = deploy(testbed)
    edit(testbed, "bridge: lan", "bridge: nowhere")

    with pytest.raises(SpecError):
        prepare(testbed, Command.UP, Options())

    assert testbed.project.read_known() == deployed


def test_down_and_up_apply_an_edit(testbed):
    deploy(testbed)
    edit(testbed, "memory_mb: 256", "memory_mb: 512")
    testbed.condition = CONDITIONS.DOWN

    state, _ = prepare(testbed, Command.UP, Options())

    assert {guest.memory_mib for guest in state.guests} == {512}


def test_generate_below_a_deployed_testbed_names_what_would_change(testbed):
    deployed = deploy(testbed)
    edit(testbed, "name: db", "name: store")
    edit(testbed, "memory_mb: 256", "memory_mb: 512")

    with pytest.raises(StateError) as refused:
        prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    for words in ("added: store", "removed: db", "changed: web"):
        assert words in refused.value.message
    assert testbed.project.read_state() == deployed


def test_generate_below_a_deployed_testbed_repeats_what_is_there(testbed):
    deployed = deploy(testbed)

    state, plan = prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    assert state == deployed
    assert plan.command == Command.GENERATE_ARTEFACTS


@pytest.mark.parametrize("command", [Command.DOWN, Command.CLEAR_ARTEFACTS])
def test_nothing_can_be_taken_down_without_a_state(testbed, command):
    with pytest.raises(StateError) as refused:
        prepare(testbed, command, Options())

    assert refused.value.hint


def test_down_works_when_the_yaml_is_gone(testbed):
    deployed = deploy(testbed)
    testbed.project.yaml.unlink()

    state, plan = prepare(testbed, Command.DOWN, Options())

    assert state == deployed
    assert any(i.kind == "stop-guests" for i in plan.instructions)


def test_up_without_a_yaml_says_so(testbed):
    testbed.project.yaml.unlink()

    with pytest.raises(StateError, match=r"no kvm-compose\.yaml"):
        prepare(testbed, Command.UP, Options())


def test_all_mistakes_of_a_yaml_are_reported_and_nothing_is_written(testbed):
    edit(testbed, "bridge: lan", "bridge: wan")
    edit(testbed, "cirros_0_6_2", "windows_95")

    with pytest.raises(SpecError) as broken:
        prepare(testbed, Command.UP, Options())

    assert len(broken.value.findings) >= 4
    assert not testbed.project.has_state()


def test_digest_of_a_script_is_in_the_state(testbed):
    (testbed.project.files / "setup.sh").write_text("#!/bin/sh\necho 1\n")
    edit(
        testbed, "{name: cirros_0_6_2}", "{name: cirros_0_6_2, setup_script: setup.sh}"
    )
    before, _ = prepare(testbed, Command.UP, Options())

    (testbed.project.files / "setup.sh").write_text("#!/bin/sh\necho 2\n")
    after, _ = prepare(testbed, Command.UP, Options())

    first, second = before.guest("web").setup_script, after.guest("web").setup_script
    assert first is not None
    assert second is not None
    assert len(first.sha256) == 64
    assert first.sha256 != second.sha256


def test_unreadable_state_of_what_is_not_deployed_is_replaced(testbed):
    testbed.project.state_file.write_text("{broken")

    state, _ = prepare(testbed, Command.UP, Options())

    assert testbed.project.read_state() == state


def test_unreadable_state_of_what_is_deployed_is_an_error(testbed):
    deploy(testbed)
    testbed.project.state_file.write_text("{broken")

    with pytest.raises(StateError, match="cannot be read"):
        prepare(testbed, Command.UP, Options())


@pytest.mark.parametrize("command", [Command.UP, Command.GENERATE_ARTEFACTS])
def test_what_is_not_built_yet_is_refused_and_nothing_is_written(testbed, command):
    yaml = "machines: [{name: box, docker: {image: nginx}}]\nnetwork: {}\n"
    testbed.project.yaml.write_text(yaml)

    with pytest.raises(NotBuiltYet, match=r"guest box \(`docker`\)"):
        prepare(testbed, command, Options())

    assert not testbed.project.has_state()


def test_disk_below_an_allowed_folder_passes_the_checks(testbed, settings, tmp_path):
    disk = tmp_path / "disks" / "old.img"
    disk.parent.mkdir()
    disk.write_bytes(b"x")
    testbed.project.yaml.write_text(
        "machines: [{name: old, libvirt: {cpus: 1, memory_mb: 64, libvirt_type: "
        f"{{existing_disk: {{path: {disk}}}}}}}}}]\nnetwork: {{}}\n"
    )

    assert len(findings_of(testbed)) == 1

    settings.DISK_FOLDERS = (disk.parent,)
    assert findings_of(testbed) == ()


def test_guest_that_fits_on_no_host_is_refused(testbed):
    Host.objects.update(memory_mib=128, cpus=1)

    with pytest.raises(SpecError) as refused:
        prepare(testbed, Command.UP, Options())

    assert "No testbed host has 256 MiB" in refused.value.findings[0].message


def test_password_is_nowhere_in_the_state_and_its_hash_stays(testbed):
    edit(testbed, "memory_mb: 256", "memory_mb: 256\n      password: open sesame")

    first, _ = prepare(testbed, Command.UP, Options())
    again, _ = prepare(testbed, Command.UP, Options())

    hashes = [guest.password_hash for guest in first.guests if guest.password_hash]
    assert hashes
    assert all(text.startswith("$6$") for text in hashes)
    assert "sesame" not in testbed.project.state_file.read_text()
    assert again == first


def test_changed_disk_of_the_user_changes_its_guest(testbed):
    disk = testbed.project.files / "own.img"
    disk.write_bytes(b"x" * 512)
    testbed.project.yaml.write_text(
        "machines: [{name: old, libvirt: {cpus: 1, memory_mb: 64, libvirt_type: "
        "{existing_disk: {path: own.img}}}}]\nnetwork: {}\n"
    )

    before, _ = prepare(testbed, Command.UP, Options())
    disk.write_bytes(b"x" * 1024)
    after, _ = prepare(testbed, Command.UP, Options())

    old, new = before.guest("old"), after.guest("old")
    assert old.image.main_path == str(disk.resolve())
    assert (old.image.size_bytes, new.image.size_bytes) == (512, 1024)
    assert old.spec_hash != new.spec_hash


SCALED = """\
machines:
  - name: node
    libvirt:
      cpus: 1
      memory_mb: 256
      libvirt_type:
        cloud_image: {name: cirros_0_6_2, context: shared.sh}
      scaling:
        count: 2
        shared_setup: shared.sh
        interfaces: [{bridge: lan, clones: [0, 1]}]
        clone_setup: [{script: own.sh, clones: [1]}]
network:
  bridges: [{name: lan}]
  external_bridge: lan
"""


@pytest.fixture(name="scaled")
def _scaled(testbed):
    testbed.project.yaml.write_text(SCALED)
    for name in ("shared.sh", "own.sh"):
        (testbed.project.files / name).write_text("one\n")
    return testbed


def test_scripts_of_clones_and_their_golden_image_are_digested(scaled):
    state, _ = prepare(scaled, Command.UP, Options())

    (golden,) = state.goldens
    digest = sha256(b"one\n").hexdigest()
    assert golden.guest.setup_script.sha256 == digest
    assert state.guest("node-1").setup_script.sha256 == digest
    assert len(golden.context_sha256) == 64
    assert golden.context_sha256 != digest


def test_edited_shared_script_is_an_edit_of_the_deployed_testbed(scaled):
    before = deploy(scaled)
    assert not is_edited(scaled, before)

    (scaled.project.files / "own.sh").write_text("two\n")
    assert not is_edited(scaled, before)
    (scaled.project.files / "shared.sh").write_text("two\n")
    assert is_edited(scaled, before)

    after, plan = prepare(scaled, Command.UP, Options())
    assert after.goldens[0].image.path != before.goldens[0].image.path
    kinds = {i.kind: [r.key for r in i.resources] for i in plan.instructions}
    assert kinds[Kind.STOP_CHANGED_GUESTS] == kinds[Kind.DELETE_DISKS]
    assert kinds[Kind.DELETE_DISKS] == ["node-0", "node-1"]


@pytest.fixture(name="with_context")
def _with_context(scaled):
    edit(scaled, "context: shared.sh", "context: ctx")
    (scaled.project.files / "ctx").mkdir()
    (scaled.project.files / "ctx/data").write_text("one\n")
    return scaled


def test_edited_context_is_an_edit_and_up_applies_it(with_context):
    before = deploy(with_context)
    assert not is_edited(with_context, before)

    (with_context.project.files / "ctx/data").write_text("two\n")

    assert is_edited(with_context, before)
    known, wanted = wanted_state(with_context)
    assert {change.reasons for change in diff(known, wanted).guests} == {
        (
            "its golden image node changed",
            "its disk is made anew",
            "context ctx was edited",
        )
    }
    after, plan = prepare(with_context, Command.UP, Options())
    assert after == wanted
    assert after.goldens[0].image.path != before.goldens[0].image.path
    kinds = {i.kind: [r.key for r in i.resources] for i in plan.instructions}
    assert kinds[Kind.DELETE_DISKS] == ["node-0", "node-1"]
    assert not is_edited(with_context, after)


def test_context_with_another_name_or_more_files_is_an_edit(with_context):
    before = deploy(with_context)
    context = with_context.project.files / "ctx"

    (context / "data").rename(context / "other")
    assert is_edited(with_context, before)
    (context / "other").rename(context / "data")
    assert not is_edited(with_context, before)
    (context / "more").touch()
    assert is_edited(with_context, before)


def test_context_is_read_again_only_when_a_file_of_it_changed(
    with_context, monkeypatch
):
    before = deploy(with_context)
    read = []
    digest = digests.context_digest
    monkeypatch.setattr(
        digests, "context_digest", lambda *at: read.append(at) or digest(*at)
    )

    assert not is_edited(with_context, before)
    assert read == []
    (with_context.project.files / "ctx/data").write_text("two\n")
    assert is_edited(with_context, before)
    assert is_edited(with_context, before)
    assert len(read) == 1


def test_context_that_is_gone_or_too_large_is_an_edit(with_context, monkeypatch):
    before = deploy(with_context)

    monkeypatch.setattr(digests, "CONTEXT_LIMIT_BYTES", 1)
    assert is_edited(with_context, before)
    monkeypatch.undo()
    assert not is_edited(with_context, before)
    shutil.rmtree(with_context.project.files / "ctx")
    assert is_edited(with_context, before)


def test_removed_shared_script_is_an_edit_too(scaled):
    before = deploy(scaled)

    (scaled.project.files / "shared.sh").unlink()

    assert is_edited(scaled, before)


@pytest.mark.parametrize("kind", ["vxlan", "geneve", "gre"])
def test_tunnels_are_of_the_kind_that_is_set(testbed, settings, kind):
    settings.TUNNEL_KIND = kind

    state, _ = prepare(testbed, Command.UP, Options())

    assert {tunnel.kind for tunnel in state.network.tunnels} == {kind}


def test_tunnels_of_what_is_up_stay_until_it_is_edited(testbed, settings):
    deploy(testbed)
    settings.TUNNEL_KIND = "gre"

    kept, _ = prepare(testbed, Command.UP, Options())
    edit(testbed, "memory_mb: 256", "memory_mb: 512", 1)
    changed, _ = prepare(testbed, Command.UP, Options())

    kinds = [{t.kind for t in state.network.tunnels} for state in (kept, changed)]
    assert kinds == [{"vxlan"}, {"gre"}]


def test_network_card_needs_an_administrator(testbed, settings):
    card = "{nic_name: eth1, testbed_bridge: lan, testbed_host: main}"
    edit(testbed, "network:\n", f"network:\n  network_interfaces: [{card}]\n")

    (refused,) = findings_of(testbed)
    settings.NETWORK_CARDS = ("eth1",)
    state, _ = prepare(testbed, Command.UP, Options())

    assert "`eth1` may not be used by testbeds" in refused.message
    assert [(c.host, c.nic) for c in state.network.cards] == [("main", "eth1")]
