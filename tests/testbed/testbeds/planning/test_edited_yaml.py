"""The YAML of a deployed testbed is edited: the next command applies just that.

What changed is restarted, what was removed is remembered until it is gone, and what was
only planned needs no removal.
"""

import pytest

from orchestration.plan.model import Command, Options
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import CONDITIONS, deploy, edit, kinds

pytestmark = pytest.mark.django_db


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


def test_only_planned_things_need_no_removal(testbed):
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


def test_down_and_up_apply_an_edit(testbed):
    deploy(testbed)
    edit(testbed, "memory_mb: 256", "memory_mb: 512")
    testbed.condition = CONDITIONS.DOWN

    state, _ = prepare(testbed, Command.UP, Options())

    assert {guest.memory_mib for guest in state.guests} == {512}
