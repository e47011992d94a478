"""Which scripts and contexts Up brings anew: the files of now against the guests'."""

from hashlib import sha256

import pytest

from orchestration.plan.model import Command, Options
from orchestration.project.digests import digest_of_context
from orchestration.providers.guest.cloud_init import instance_id
from orchestration.state.diff.changes import ChangeKind, diff
from testbed.models import Testbed
from testbed.pages.changes import pending_changes
from testbed.pages.overview import guests_of
from testbed.testbeds.planning import is_edited, wanted_state
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import deploy, edit

pytestmark = pytest.mark.django_db
IMAGE = "{name: ubuntu_22_04}"
SCRIPTED = "{name: ubuntu_22_04, setup_script: setup.sh, run_script: run.sh}"


@pytest.fixture(name="scripted")
def _scripted(testbed):
    """A testbed that is up, and whose scripts ran in guest web."""
    edit(testbed, IMAGE, SCRIPTED, count=1)
    for name in ("setup.sh", "run.sh"):
        (testbed.project.files / name).write_text("one\n")
    deploy(testbed)
    ran(testbed)
    return testbed


def ran(testbed, **exit_codes):
    """Mark the scripts as run as they are now."""
    now = {
        name: sha256((testbed.project.files / f"{name}.sh").read_bytes()).hexdigest()
        for name in ("setup", "run")
    }
    testbed.project.mark(
        "web",
        script=now["setup"],
        script_exit_code=exit_codes.get("setup", 0),
        run_script=now["run"],
        run_script_exit_code=0,
    )


def write(testbed, name, text):
    (testbed.project.files / name).write_text(text)


def reasons(testbed):
    """Return the page's words about the guest in the changes that Up applies."""
    pending = pending_changes(testbed, testbed.project.read_state())
    groups = pending.groups if pending else ()
    return [line.reasons for group in groups for line in group.lines]


def setup(testbed):
    (web, *_) = guests_of(testbed, testbed.project.read_state())
    assert web.guest.name == "web"
    return web.setup


def test_script_that_ran_as_it_is_now_is_no_change(scripted):
    assert reasons(scripted) == []
    assert setup(scripted) == "done"


@pytest.mark.parametrize("kind", ["setup", "run"])
def test_edited_script_is_said_to_run_again(scripted, kind):
    write(scripted, f"{kind}.sh", "two\n")

    assert reasons(scripted) == [f"{kind} script {kind}.sh was edited, will run again"]
    assert not is_edited(scripted, scripted.project.read_state())


def test_edited_script_is_a_change_that_needs_no_restart(scripted):
    write(scripted, "setup.sh", "two\n")

    (change,) = diff(*wanted_state(scripted)).guests

    assert change.kind is ChangeKind.CHANGE


def test_page_shows_the_edit_and_the_button_says_it(scripted, client, owner):
    client.force_login(owner)
    write(scripted, "setup.sh", "two\n")

    shown = client.get("/testbeds/olive/lab/").content.decode()

    assert "setup script setup.sh was edited, will run again" in shown
    assert "Up: apply the changes" in shown
    assert "script edited, not applied" in shown


def test_script_that_ran_again_is_no_change_any_more(scripted):
    write(scripted, "setup.sh", "two\n")
    prepare(scripted, Command.UP, Options())
    ran(scripted)

    assert reasons(scripted) == []
    assert setup(scripted) == "done"


def test_edit_during_a_run_is_not_lost(scripted):
    write(scripted, "setup.sh", "two\n")
    prepare(scripted, Command.UP, Options())
    ran(scripted)
    write(scripted, "setup.sh", "three\n")

    assert reasons(scripted) == ["setup script setup.sh was edited, will run again"]
    assert setup(scripted) == "changed"


def test_edit_that_no_run_came_to_is_still_said(scripted):
    write(scripted, "setup.sh", "two\n")

    prepare(scripted, Command.UP, Options())

    assert reasons(scripted) == ["setup script setup.sh was edited, will run again"]
    assert setup(scripted) == "changed"


def test_edit_back_to_what_ran_is_no_change(scripted):
    write(scripted, "setup.sh", "two\n")
    prepare(scripted, Command.UP, Options())
    write(scripted, "setup.sh", "one\n")

    assert reasons(scripted) == []
    assert setup(scripted) == "done"


def test_other_edit_announces_no_script_that_ran_as_it_is(scripted):
    write(scripted, "setup.sh", "two\n")
    ran(scripted)
    edit(scripted, "memory_mb: 256", "memory_mb: 512", count=1)

    assert reasons(scripted) == ["memory 256 → 512 MiB"]


def test_same_script_under_another_name_does_not_run_again(scripted):
    write(scripted, "other.sh", "one\n")
    edit(scripted, "setup_script: setup.sh", "setup_script: other.sh")

    assert reasons(scripted) == []


def test_script_that_is_gone_is_not_announced(scripted):
    (scripted.project.files / "setup.sh").unlink()

    assert reasons(scripted) == []


def test_state_is_written_only_where_a_script_was_edited(scripted):
    before = scripted.project.state_file.stat().st_mtime_ns

    prepare(scripted, Command.UP, Options())

    assert scripted.project.state_file.stat().st_mtime_ns == before


def test_kept_disk_knows_which_script_ran(scripted):
    scripted.project.mark("web", disk="image")
    scripted.condition = Testbed.Condition.DOWN
    scripted.save()
    write(scripted, "setup.sh", "two\n")

    assert reasons(scripted) == ["setup script setup.sh was edited, will run again"]


@pytest.fixture(name="given")
def _given(scripted):
    """The same testbed with a context, which guest web has got."""
    (scripted.project.files / "data").mkdir()
    write(scripted, "data/list", "one\n")
    edit(scripted, "run.sh}", "run.sh, context: data}")
    prepare(scripted, Command.UP, Options())
    scripted.project.forget_deployed()
    digest = digest_of_context(scripted.project.files, "data")
    scripted.project.mark("web", context=digest)
    return scripted


def test_context_that_the_guest_has_is_no_change(given):
    assert reasons(given) == []


def test_edited_context_is_said_to_be_copied(given):
    write(given, "data/list", "two\n")

    assert reasons(given) == ["context data was edited, will be copied to it"]
    (change,) = diff(*wanted_state(given)).guests
    assert change.kind is ChangeKind.CHANGE


def test_copied_context_is_no_change_any_more(given):
    write(given, "data/list", "two\n")
    prepare(given, Command.UP, Options())
    digest = digest_of_context(given.project.files, "data")
    given.project.mark("web", context=digest)

    assert reasons(given) == []


def test_edited_context_changes_neither_hash_nor_instance(given):
    before = given.project.read_state().guest("web")
    write(given, "data/list", "two\n")

    after, _ = prepare(given, Command.UP, Options())

    assert after.guest("web").context_sha256 != before.context_sha256
    assert after.guest("web").spec_hash == before.spec_hash
    assert instance_id(after.guest("web")) == instance_id(before)
