"""Backing files of running clones: no user can take them, and a broken one is named.

The same clones through all of it: their image is replaced on one host, named by
somebody else's YAML, and one clone's disk is made to lie over a file that is not there.
"""

from pathlib import Path

import pytest

from orchestration.state.model import GuestState
from testbed.client.rest.problems import ServerProblem
from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import Guest, Ran, holdings, host_of, project, ran

pytestmark = [pytest.mark.live, pytest.mark.slow]
SLUG = "guarded"
YAML = """\
machines:
  - name: node
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {cloud_image: {name: test_guest}}
      scaling:
        count: 2
        shared_setup: shared.sh
        interfaces: [{bridge: br0, clones: [0]}, {bridge: br1, clones: [1]}]
network:
  bridges: [{name: br0}, {name: br1}]
  bridge_connections: {br1: br0}
  external_bridge: br0
"""
TAKES = """\
machines:
  - name: thief
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {{existing_disk: {{path: {path}}}}}
network: {{}}
"""
NOWHERE = "/var/lib/testbed/images/nowhere.qcow2"


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack) -> dict[str, set[str]]:
    return holdings(stack)


@pytest.fixture(scope="module", name="first_up")
def _first_up(
    stack: Stack, owner: Client, before: dict[str, set[str]], tmp_path_factory
) -> Ran:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "kvm-compose.yaml").write_text(YAML)
    (folder / "shared.sh").write_text("echo guarded > /etc/shared\n")
    owner.create_testbed(SLUG, folder)
    return ran(owner, SLUG, "up")


def clone(stack: Stack, number: int) -> GuestState:
    return project(stack, SLUG).read_state().guest(f"node-{number}")


def digest(stack: Stack, number: int) -> str:
    guest = clone(stack, number)
    found = host_of(stack, guest.host).run("sha256sum", guest.image.path)
    return found.split()[0]


def test_yaml_of_another_user_cannot_name_the_image(stack, other, first_up, tmp_path):
    assert first_up.status == "succeeded", first_up.words
    path = clone(stack, 0).image.path
    (tmp_path / "kvm-compose.yaml").write_text(TAKES.format(path=path))
    other.create_testbed("thief", tmp_path)

    with pytest.raises(ServerProblem) as caught:
        other.start("thief", "up")

    assert "absolute path" in str(caught.value.body["findings"])


def test_image_that_was_replaced_on_another_host_is_copied_again(
    stack, owner, first_up
):
    good, boot = digest(stack, 0), Guest(stack, SLUG, "node-1").boot
    path = clone(stack, 1).image.path
    script = (
        'cp "$1" "$1.x" && chmod u+w "$1.x" && echo junk >> "$1.x" && mv "$1.x" "$1"'
    )
    stack.other.run("sh", "-c", script, "sh", path)
    assert digest(stack, 1) != good

    again = ran(owner, SLUG, "up")

    assert again.status == "succeeded", again.words
    assert again.statuses()["push-goldens"] == {"done"}
    assert digest(stack, 1) == digest(stack, 0) == good
    assert Guest(stack, SLUG, "node-1").boot == boot


def test_broken_chain_is_named_and_provision_mends_it(stack, owner, first_up):
    guest, boot = clone(stack, 1), Guest(stack, SLUG, "node-0").boot
    stack.other.run("virsh", "destroy", guest.domain)
    words = ("-u", "-f", "qcow2", "-F", "qcow2", "-b", NOWHERE, guest.disk)
    stack.other.run("qemu-img", "rebase", *words)

    refused = ran(owner, SLUG, "up")

    assert refused.status == "failed"
    started = refused.of("start-guests")
    assert started["node-0"]["status"] == "unchanged"
    assert guest.disk in started["node-1"]["message"]
    assert NOWHERE in refused.finished("node-1")["detail"]
    assert Guest(stack, SLUG, "node-0").boot == boot

    mended = ran(owner, SLUG, "up", provision=True)
    assert mended.status == "succeeded", mended.words
    assert mended.statuses()["prepare-goldens"] == {"unchanged"}
    assert Guest(stack, SLUG, "node-1").run("cat /etc/shared") == "guarded"


def test_image_stays_when_its_clones_go(stack, owner, first_up, before):
    image, good = Path(clone(stack, 0).image.path), digest(stack, 0)

    cleared = ran(owner, SLUG, "clear-artefacts")
    owner.server.delete(owner.path(SLUG))

    assert cleared.status == "succeeded", cleared.words
    assert holdings(stack) == before
    assert stack.main.run("sha256sum", str(image)).split()[0] == good
