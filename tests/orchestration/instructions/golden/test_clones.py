"""Clones over golden images: none is touched without need, none starts over another.

Rehearsed on simulated hosts: the number of clones changes, and a clone's chain of
files is not what it was made from. How the image is made is in test_golden.py.
"""

from orchestration.events import Status
from orchestration.plan.model import Kind
from orchestration.transport.base import Scope, command
from tests.orchestration.instructions.golden.clones import clones, image_of
from tests.orchestration.instructions.rehearsal import Rehearsal


def test_growing_and_shrinking_touch_no_other_clone(scaling: Rehearsal) -> None:
    scaling.up()
    scaling.edit(clones("br0", "br1", "br1", "br0", "br1"))

    grown = scaling.up()

    created = {n: r.status for n, r in grown.of(Kind.CREATE_CLONES).items()}
    assert created == {
        "node-0": Status.UNCHANGED,
        "node-1": Status.UNCHANGED,
        "node-2": Status.UNCHANGED,
        "node-3": Status.DONE,
        "node-4": Status.DONE,
    }
    started = {n: r.status for n, r in grown.of(Kind.START_GUESTS).items()}
    assert started == created

    scaling.edit(clones("br0", "br1"))
    shrunk = scaling.up()

    assert set(shrunk.of(Kind.STOP_GUESTS)) == {"node-2", "node-3", "node-4"}
    assert set(shrunk.of(Kind.DELETE_DISKS)) == {"node-2", "node-3", "node-4"}
    rest = {r.status for r in shrunk.of(Kind.START_GUESTS).values()}
    assert rest == {Status.UNCHANGED}


def test_clone_of_an_image_that_was_prepared_again_is_not_used(
    scaling: Rehearsal,
) -> None:
    scaling.up()
    scaling.down()
    identity = image_of(scaling).identity
    scaling.project.mark("node-0", disk=f"{identity} 0123456789abcdef")

    refused = scaling.up().of(Kind.CREATE_CLONES)
    made = scaling.up(provision=True)

    assert refused["node-0"].status is Status.FAILED
    assert "golden image node was lost and prepared again" in refused["node-0"].message
    assert refused["node-1"].status is Status.UNCHANGED
    assert made.failed() == {}
    assert scaling.state.guest("node-0").markers.disk == identity


def test_clone_with_a_broken_chain_is_not_started(scaling: Rehearsal) -> None:
    said = {"exit_code": 1, "stderr": "Could not open '/srv/images/golden-x.qcow2'"}
    words = "qemu-img info --force-share --backing-chain"
    scaling.break_("host-b", {words: said})

    started = scaling.up().of(Kind.START_GUESTS)

    assert started["node-0"].status is Status.DONE
    assert started["node-1"].status is Status.FAILED
    assert "golden-x.qcow2" in started["node-1"].detail


def test_clone_over_another_file_is_not_started(scaling: Rehearsal) -> None:
    guest = scaling.state.guest("node-1")
    host = scaling.hosts.open(scaling.state.host("host-b"))
    words = ("qemu-img", "create", "-f", "qcow2", "-b", "/srv/other", guest.disk)
    host.transport.run(command(*words), scope=Scope())

    started = scaling.up().of(Kind.START_GUESTS)

    assert started["node-1"].status is Status.FAILED
    assert "lies over /srv/other" in started["node-1"].detail
    assert started["node-2"].status is Status.DONE
