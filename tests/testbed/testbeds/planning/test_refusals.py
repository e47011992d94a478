"""Refused plans: nothing is written, and each reason is named.

Some needs an administrator first: folders of disks and network cards are allowed in the
settings.
"""

import pytest

from orchestration.errors import NotBuiltYet, SpecError, StateError
from orchestration.plan.model import Command, Options
from testbed.models import Host
from testbed.testbeds.findings import findings_of
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import deploy, edit

pytestmark = pytest.mark.django_db


def test_broken_edit_of_a_deployed_testbed_changes_nothing(testbed):
    deployed = deploy(testbed)
    edit(testbed, "bridge: lan", "bridge: nowhere")

    with pytest.raises(SpecError):
        prepare(testbed, Command.UP, Options())

    assert testbed.project.read_known() == deployed


def test_generate_below_a_deployed_testbed_names_what_would_change(testbed):
    deployed = deploy(testbed)
    edit(testbed, "name: db", "name: store")
    edit(testbed, "memory_mb: 256", "memory_mb: 512")

    with pytest.raises(StateError) as refused:
        prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    for words in ("added: store", "removed: db", "changed: web"):
        assert words in refused.value.message
    assert testbed.project.read_state() == deployed


@pytest.mark.parametrize("command", [Command.DOWN, Command.CLEAR_ARTEFACTS])
def test_nothing_can_be_taken_down_without_a_state(testbed, command):
    with pytest.raises(StateError) as refused:
        prepare(testbed, command, Options())

    assert refused.value.hint


def test_up_without_a_yaml_says_so(testbed):
    testbed.project.yaml.unlink()

    with pytest.raises(StateError, match=r"no kvm-compose\.yaml"):
        prepare(testbed, Command.UP, Options())


def test_all_mistakes_of_a_yaml_are_reported_and_nothing_is_written(testbed):
    edit(testbed, "bridge: lan", "bridge: wan")
    edit(testbed, "ubuntu_22_04", "windows_95")

    with pytest.raises(SpecError) as broken:
        prepare(testbed, Command.UP, Options())

    assert len(broken.value.findings) >= 4
    assert not testbed.project.has_state()


@pytest.mark.parametrize("command", [Command.UP, Command.GENERATE_ARTEFACTS])
def test_feature_not_built_yet_is_refused_and_nothing_is_written(testbed, command):
    yaml = "machines: [{name: box, docker: {image: nginx}}]\nnetwork: {}\n"
    testbed.project.yaml.write_text(yaml)

    with pytest.raises(NotBuiltYet, match=r"guest box \(`docker`\)"):
        prepare(testbed, command, Options())

    assert not testbed.project.has_state()


def test_disk_below_an_allowed_folder_passes_the_checks(testbed, settings, tmp_path):
    disk = tmp_path / "disks" / "old.img"
    disk.parent.mkdir()
    disk.write_bytes(b"QFI\xfb")
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


def test_network_card_needs_an_administrator(testbed, settings):
    card = "{nic_name: eth1, testbed_bridge: lan, testbed_host: main}"
    edit(testbed, "network:\n", f"network:\n  network_interfaces: [{card}]\n")

    (refused,) = findings_of(testbed)
    settings.NETWORK_CARDS = ("eth1",)
    state, _ = prepare(testbed, Command.UP, Options())

    assert "`eth1` may not be used by testbeds" in refused.message
    assert [(c.host, c.nic) for c in state.network.cards] == [("main", "eth1")]
