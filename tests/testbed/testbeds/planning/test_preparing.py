"""From a testbed's folder to state and plan: what is built, kept and used again.

Keys, addresses and hashes are made once; a state that nobody needs may be replaced, one
of guests that are up may not.
"""

import pytest

from orchestration.errors import StateError
from orchestration.plan.model import Command, Options
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import deploy, edit

pytestmark = pytest.mark.django_db


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
        "{cloud_image: {name: ubuntu_22_04}}}\n",
    )
    after, _ = prepare(testbed, Command.UP, Options())

    assert len(after.guests) == 3
    for guest in before.guests:
        kept = after.guest(guest.name)
        assert kept.management == guest.management
        assert kept.interfaces == guest.interfaces


def test_generate_below_a_deployed_testbed_repeats_what_is_there(testbed):
    deployed = deploy(testbed)

    state, plan = prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    assert state == deployed
    assert plan.command == Command.GENERATE_ARTEFACTS


def test_down_works_when_the_yaml_is_gone(testbed):
    deployed = deploy(testbed)
    testbed.project.yaml.unlink()

    state, plan = prepare(testbed, Command.DOWN, Options())

    assert state == deployed
    assert any(i.kind == "stop-guests" for i in plan.instructions)


def test_unreadable_state_of_what_is_not_deployed_is_replaced(testbed):
    testbed.project.state_file.write_text("{broken")

    state, _ = prepare(testbed, Command.UP, Options())

    assert testbed.project.read_state() == state


def test_unreadable_state_of_what_is_deployed_is_an_error(testbed):
    deploy(testbed)
    testbed.project.state_file.write_text("{broken")

    with pytest.raises(StateError, match="cannot be read"):
        prepare(testbed, Command.UP, Options())


def test_password_is_nowhere_in_the_state_and_its_hash_stays(testbed):
    edit(testbed, "memory_mb: 256", "memory_mb: 256\n      password: open sesame")

    first, _ = prepare(testbed, Command.UP, Options())
    again, _ = prepare(testbed, Command.UP, Options())

    hashes = [guest.password_hash for guest in first.guests if guest.password_hash]
    assert hashes
    assert all(text.startswith("$6$") for text in hashes)
    assert "sesame" not in testbed.project.state_file.read_text()
    assert again == first


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
