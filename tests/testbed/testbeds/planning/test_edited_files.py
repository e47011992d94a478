"""Scripts, contexts and disks of a testbed are in its state by their content.

An edit of one is an edit of the testbed, also when the YAML stays as it is; it is
noticed without reading everything again.
"""

import shutil
from hashlib import sha256

import pytest

from orchestration.plan.model import Command, Kind, Options
from orchestration.project import digests
from orchestration.state.diff.changes import diff
from testbed.testbeds.planning import is_edited, wanted_state
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import deploy, edit

pytestmark = pytest.mark.django_db


def test_digest_of_a_script_is_in_the_state(testbed):
    (testbed.project.files / "setup.sh").write_text("#!/bin/sh\necho 1\n")
    edit(
        testbed, "{name: ubuntu_22_04}", "{name: ubuntu_22_04, setup_script: setup.sh}"
    )
    before, _ = prepare(testbed, Command.UP, Options())

    (testbed.project.files / "setup.sh").write_text("#!/bin/sh\necho 2\n")
    after, _ = prepare(testbed, Command.UP, Options())

    first, second = before.guest("web").setup_script, after.guest("web").setup_script
    assert first is not None
    assert second is not None
    assert len(first.sha256) == 64
    assert first.sha256 != second.sha256


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
    assert old.image.source == new.image.source == str(disk.resolve())
    assert old.image.main_path != new.image.main_path
    assert (old.image.size_bytes, new.image.size_bytes) == (512, 1024)
    assert old.spec_hash != new.spec_hash


def test_exchanged_disk_is_an_edit_of_the_deployed_testbed(testbed):
    disk = testbed.project.files / "own.img"
    disk.write_bytes(b"x" * 512)
    testbed.project.yaml.write_text(
        "machines: [{name: old, libvirt: {cpus: 1, memory_mb: 64, libvirt_type: "
        "{existing_disk: {path: own.img}}}}]\nnetwork: {}\n"
    )
    before = deploy(testbed)
    assert not is_edited(testbed, before)

    disk.write_bytes(b"x" * 1024)
    assert is_edited(testbed, before)
    known, wanted = wanted_state(testbed)
    assert [change.reasons for change in diff(known, wanted).guests] == [
        ("image ./own.img was renewed; its disk stays",)
    ]
    disk.unlink()
    assert not is_edited(testbed, before)


def test_scripts_of_clones_and_their_golden_image_are_digested(scaled):
    state, _ = prepare(scaled, Command.UP, Options())

    (golden,) = state.goldens
    digest = sha256(b"one\n").hexdigest()
    assert golden.guest.setup_script.sha256 == digest
    assert state.guest("node-1").setup_script.sha256 == digest
    assert len(golden.context_sha256) == 64
    assert golden.context_sha256 != digest


def test_golden_images_are_shared_by_one_owner_or_by_an_admins_word(
    scaled, stranger, settings
):
    def image() -> str:
        scaled.project.state_file.unlink(missing_ok=True)
        return prepare(scaled, Command.UP, Options())[0].goldens[0].image.path

    owners = image()
    scaled.owner = stranger
    strangers = image()
    settings.SHARE_GOLDEN_IMAGES = True
    shared = image()

    assert len({owners, strangers, shared}) == 3


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


def test_edited_context_is_an_edit_and_up_applies_it(with_context):
    before = deploy(with_context)
    assert not is_edited(with_context, before)

    (with_context.project.files / "ctx/data").write_text("two\n")

    assert is_edited(with_context, before)
    known, wanted = wanted_state(with_context)
    assert {change.reasons for change in diff(known, wanted).guests} == {
        (
            "its golden image node changed",
            "its disk will be erased",
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
