"""Acts on files: a disk that is deleted, a seed, a store without space."""

from orchestration.state.model import GuestState
from tests.live.chaos.acts.act import Act, Family, down, running
from tests.live.chaos.lab import Lab, Testbed
from tests.live.watch import key_of

GuestPlace = tuple[Testbed, GuestState]
OTHER = "host-b"
FULL = "64k"


def delete_disk(lab: Lab, place: GuestPlace) -> None:
    """Delete a guest's disk: under a running one, Up refuses to make another."""
    guest = place[1]
    lab.host(guest.host).run("rm", guest.disk)


def delete_seed(lab: Lab, place: GuestPlace) -> None:
    """Delete a guest's seed image."""
    guest = place[1]
    lab.host(guest.host).run("rm", guest.seed)


def fill_store(lab: Lab, testbed: Testbed) -> None:
    """Up on a host without space fails and names the host; with space it succeeds."""
    folder = f"/var/lib/testbed/projects/{key_of(lab.stack, testbed.slug)}/artefacts"
    host = lab.host(OTHER)
    host.run("mkdir", "-p", folder)
    host.run("mount", "-t", "tmpfs", "-o", f"size={FULL},mode=755", "tmpfs", folder)
    try:
        done = lab.run(testbed, "up")
        lab.require(done.status == "failed", f"up without space {done.status}")
        lab.require(OTHER in done.words, f"up does not name the host: {done.words}")
        lab.succeeds(testbed, "down")
    finally:
        host.run("umount", "-l", folder)
    lab.succeeds(testbed, "up")


def with_disk(lab: Lab) -> list[GuestPlace]:
    """Return the running guests with their disk in its place."""
    return [p for p in running(lab) if p[1].disk in lab.facts[p[1].host].files]


def with_seed(lab: Lab) -> list[GuestPlace]:
    """Return the running guests with their seed in its place."""
    return [p for p in running(lab) if p[1].seed in lab.facts[p[1].host].files]


def down_on_other(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are down and use the other host."""
    return [t for t in down(lab) if "br1" in t.written.bridges]


ACTS = (
    Act(Family.DELETE, "delete a disk", with_disk, delete_disk, 1),
    Act(Family.DELETE, "delete a seed", with_seed, delete_seed, 1),
    Act(Family.FILL, "fill a host's store", down_on_other, fill_store, 2),
)
