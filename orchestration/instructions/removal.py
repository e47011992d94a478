"""The instructions that an edited YAML adds to `up`, before anything is made.

What must go has been stopped by `stop_guests`; here changed guests are stopped, the
disks of guests that go are deleted, and the record of them is dropped. Each asks the
machine first, so that a change that failed half way is gone on with.
"""

from pathlib import PurePosixPath

from orchestration.instructions.base import Outcome, Task, done, unchanged
from orchestration.instructions.guests import guest_here, stop
from orchestration.providers.libvirt import domains
from orchestration.state.model import Markers
from orchestration.transport.base import command


def stop_changed_guests(task: Task) -> Outcome:
    """Stop one guest that runs with other settings than are wanted."""
    guest = task.state.guest(task.resource.key)
    found = domains.find(task.host.libvirt, guest.domain)
    if found is None:
        return unchanged("was not there")
    if found.spec_hash == guest.spec_hash:
        return unchanged("has the wanted settings already")
    return stop(task, guest)


def delete_disks(task: Task) -> Outcome:
    """Delete one guest's own disk and console log; a base image is never touched."""
    guest = guest_here(task)
    disk = guest.disk or guest.console  # a guest may have a CD-ROM alone
    if PurePosixPath(disk).parent != PurePosixPath(guest.artefacts_dir):
        return unchanged("its disk is not the testbed's own, and stays")
    transport, scope = task.host.transport, task.scope
    there = transport.run(
        command("test", "-e", disk).with_root(), scope=scope, check=False
    )
    files = (disk, f"{disk}.part", guest.console)  # a killed worker's half copy, too
    remove = command("rm", "-f", "--", *files).with_root()
    transport.run(remove, scope=scope)
    if there.exit_code != 0:
        return unchanged("was not there")
    task.project.mark(guest.name, **Markers().model_dump())
    return done()


def forget_removed(task: Task) -> Outcome:
    """Drop the record of what was removed: nothing of it exists any more."""
    task.project.forget_deployed()
    return done()
