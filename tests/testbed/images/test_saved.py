"""Images that users save of guests: names, owners, quotas, and what is left of a run."""

import hashlib
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from orchestration.errors import ExecutionRefused, SpecError, StateError
from orchestration.plan.model import Command, Options
from testbed.access.limits import LimitReached
from testbed.images import saved
from testbed.images.needs import KnownStates
from testbed.images.pruning import _catalogued
from testbed.images.saved import (
    ImageInUse,
    delete_saved,
    erased_image,
    erased_share,
    share_with_all,
)
from testbed.images.uses import users_of
from testbed.models import Allowance, PlannedStart, Run, SavedImage, Testbed
from testbed.runs.creation import create_saving
from testbed.runs.outcome import finish_run
from testbed.testbeds.disk_space import require_image_space, saved_bytes
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.findings import catalogue_of, findings_of
from testbed.testbeds.planning import planned
from tests.testbed.images.saved_images import begun, made, written
from tests.testbed.preparing import prepare

pytestmark = [pytest.mark.usefixtures("image_store"), pytest.mark.database]


def naming(testbed: Testbed, name: str) -> None:
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("ubuntu_22_04", name, 1))


def delete(image: SavedImage, user: User) -> None:
    delete_saved(image, user, confirm=erased_image(image, user).token)


def test_image_is_in_its_owners_catalogue_when_the_run_has_ended(
    down: Testbed, owner: User, stranger: User
):
    run = begun(down, owner)
    image = SavedImage.objects.get()
    before = "base" in catalogue_of(owner)

    written(image)
    finish_run(run.pk, Run.Status.SUCCEEDED)

    entry = catalogue_of(owner)["base"]
    assert not before
    assert entry.sha256 == hashlib.sha256(b"image").hexdigest()
    assert (entry.path, entry.user) == (str(image.path), down_user(down))
    assert (entry.is_stored, entry.has_cloud_init) == (True, True)
    assert SavedImage.objects.get().size_bytes == len(b"image")
    assert "base" not in catalogue_of(stranger)


def down_user(testbed: Testbed) -> str:
    return testbed.project.read_state().guest("web").user


@pytest.mark.parametrize(
    "status", [Run.Status.FAILED, Run.Status.CANCELLED, Run.Status.INTERRUPTED]
)
def test_run_that_saved_nothing_leaves_no_row(down: Testbed, owner: User, status: str):
    run = begun(down, owner)

    finish_run(run.pk, status)

    assert not SavedImage.objects.exists()
    assert saved_bytes(owner) == 0


def test_file_without_its_stamp_is_no_image(down: Testbed, owner: User):
    run = begun(down, owner)
    SavedImage.objects.get().path.write_bytes(b"half")

    finish_run(run.pk, Run.Status.INTERRUPTED)

    assert not SavedImage.objects.exists()


def test_image_that_was_whole_stays_though_the_guest_did_not_start(
    down: Testbed, owner: User
):
    run = begun(down, owner)
    written(SavedImage.objects.get())

    finish_run(run.pk, Run.Status.FAILED)

    assert "base" in catalogue_of(owner)


def test_of_several_images_all_are_kept_or_none(down: Testbed, owner: User):
    names = {"web": "one", "db": "two"}
    run = create_saving(down, owner, names, shut_down=False)
    written(SavedImage.objects.get(name="one"))

    finish_run(run.pk, Run.Status.FAILED)

    assert not SavedImage.objects.exists()


def test_running_guests_are_shut_down_and_started_on_request(
    down: Testbed, owner: User
):
    down.observed_guests.create(
        name="web", host="main", status="running", observed_at=down.created_at
    )

    run = create_saving(down, owner, {"web": "base", "db": "two"}, shut_down=True)

    found = [(i["kind"], len(i["resources"])) for i in run.plan["instructions"]]
    assert found[:3] == [("shut-down", 1), ("save-images", 2), ("power-on", 1)]


@pytest.mark.parametrize("name", ["ubuntu_22_04", "../base", "Base", ""])
def test_name_that_cannot_be_used_is_refused(down: Testbed, owner: User, name: str):
    with pytest.raises(ExecutionRefused):
        begun(down, owner, name)

    assert not SavedImage.objects.exists()
    assert not Run.objects.exists()


def test_name_is_taken_also_while_it_is_being_saved(
    down: Testbed, owner: User, member: User
):
    run = begun(down, owner)
    Run.objects.filter(pk=run.pk).update(status=Run.Status.SUCCEEDED)

    with pytest.raises(ExecutionRefused, match="There is an image base already"):
        begun(down, owner)
    begun(down, member)  # does not learn of it

    assert SavedImage.objects.count() == 2


def test_guest_that_is_not_there_is_refused(down: Testbed, owner: User):
    with pytest.raises(ExecutionRefused, match="has no guest `mail`"):
        begun(down, owner, guest="mail")


def test_draft_has_no_disks(testbed: Testbed, owner: User):
    with pytest.raises(StateError, match="is a draft"):
        begun(testbed, owner)


def test_image_counts_to_the_disks_of_its_owner(down: Testbed, owner: User):
    image = made(down, owner)
    SavedImage.objects.filter(pk=image.pk).update(size_bytes=3 << 30)
    Allowance.objects.create(user=owner, user_disk_gib=4)

    assert saved_bytes(owner) == 3 << 30
    with pytest.raises(LimitReached, match=r"may grow to 5\.0 GiB; 4\.0"):
        require_image_space(owner, 2 << 30)
    require_image_space(owner, 1 << 30)


def test_yaml_of_another_user_gets_no_such_image(
    down: Testbed, owner: User, stranger: User, testbed: Testbed
):
    made(down, owner, "my_base")
    naming(testbed, "my_base")
    own = [one.message for one in findings_of(testbed) if "my_base" in one.message]

    testbed.owner = stranger
    testbed.save()
    (refused,) = [one for one in findings_of(testbed) if "my_base" in one.message]

    assert own == []
    assert "Unknown cloud image" in refused.message
    naming_none = refused.message.replace("my_base", "other")
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("my_base", "other"))
    (unknown,) = [one for one in findings_of(testbed) if "other" in one.message]
    assert unknown.message == naming_none
    with pytest.raises(SpecError):
        prepare(testbed, Command.UP, Options())


def test_state_takes_the_image_from_the_stores_under_its_name(
    down: Testbed, owner: User, settings: object
):
    image = made(down, owner)
    naming(down, "base")

    state, _ = prepare(down, Command.GENERATE_ARTEFACTS, Options())

    found = state.guest("web").image
    assert found.main_path == str(image.path)
    assert Path(found.path).name == image.file
    assert found.sha256 == image.sha256


def test_image_is_kept_in_the_store_from_the_start_of_its_run(
    down: Testbed, owner: User
):
    begun(down, owner)
    file = SavedImage.objects.get().file

    assert ("main", file) in _catalogued("main").uses


def test_image_that_a_yaml_or_a_state_needs_is_not_deleted(down: Testbed, owner: User):
    image = made(down, owner)
    naming(down, "base")

    with pytest.raises(ImageInUse, match="it is used by lab"):
        delete(image, owner)
    prepare(down, Command.GENERATE_ARTEFACTS, Options())
    yaml = down.project.yaml
    yaml.write_text(yaml.read_text().replace("base", "debian_12"))
    with pytest.raises(ImageInUse):
        delete(image, owner)


def test_unused_image_is_deleted(down: Testbed, owner: User):
    image = made(down, owner)

    delete(image, owner)

    assert "base" not in catalogue_of(owner)
    assert ("main", image.file) not in _catalogued("main").uses
    begun(down, owner)  # its name is free


def test_deleted_image_counts_until_its_file_is_gone(down: Testbed, owner: User):
    image = made(down, owner)

    delete(image, owner)

    assert saved_bytes(owner) == len(b"image")
    assert not SavedImage.objects.ready().exists()
    with pytest.raises(StateError, match="is deleted already"):
        delete(image, owner)


def test_deletion_and_its_entry_are_one(
    down: Testbed, owner: User, monkeypatch: pytest.MonkeyPatch
):
    image = made(down, owner)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(saved, "write", fail)
    with pytest.raises(OSError, match="no space"):
        delete(image, owner)

    assert "base" in catalogue_of(owner)


def test_image_that_is_being_saved_is_not_deleted(down: Testbed, owner: User):
    begun(down, owner)

    with pytest.raises(StateError, match="is being saved"):
        delete(SavedImage.objects.get(), owner)


def test_shared_image_is_in_all_catalogues_behind_their_own(
    down: Testbed, owner: User, stranger: User, admin: User
):
    image = made(down, owner)
    run = begun(down, stranger)
    mine = written(SavedImage.objects.get(run=run), b"mine")
    finish_run(run.pk, Run.Status.SUCCEEDED)

    share_with_all(image, admin, is_shared=True)

    assert catalogue_of(admin)["base"].sha256 == image.sha256
    assert catalogue_of(stranger)["base"].path == str(mine.path)
    mine.refresh_from_db()
    with pytest.raises(StateError, match="All users have an image base already"):
        share_with_all(mine, admin, is_shared=True)


def test_shared_image_that_others_need_is_neither_deleted_nor_taken_back(
    down: Testbed, owner: User, stranger: User, admin: User
):
    image = made(down, owner)
    share_with_all(image, admin, is_shared=True)
    image.refresh_from_db()
    naming(down, "base")
    down.owner = stranger
    down.save()

    prepare(down, Command.GENERATE_ARTEFACTS, Options())

    assert users_of(image) == [down]
    with pytest.raises(ImageInUse, match="used by 1 testbed of others"):
        delete(image, owner)
    with pytest.raises(Unconfirmed):
        share_with_all(image, admin, is_shared=False)
    image.refresh_from_db()
    assert (image.is_shared, image.deleted_at) == (True, None)


def test_draft_of_another_user_keeps_no_image(
    down: Testbed, owner: User, stranger: User, admin: User
):
    image = made(down, owner)
    share_with_all(image, admin, is_shared=True)
    draft = Testbed.objects.create(owner=stranger, slug="draft", number=8)
    draft.project.create()
    draft.project.yaml.write_bytes(down.project.yaml.read_bytes())
    naming(draft, "base")

    share_with_all(image, admin, is_shared=False)
    (told,) = [one.message for one in findings_of(draft) if "base" in one.message]
    share_with_all(image, admin, is_shared=True)
    delete(image, owner)

    assert "Unknown cloud image" in told


def test_admin_takes_an_image_from_those_that_the_question_names(
    down: Testbed, owner: User, stranger: User, admin: User
):
    image = made(down, owner)
    share_with_all(image, admin, is_shared=True)
    naming(down, "base")
    down.owner = stranger
    down.save()
    prepare(down, Command.GENERATE_ARTEFACTS, Options())
    image.refresh_from_db()
    back, gone = erased_share(image, admin), erased_image(image, admin)

    share_with_all(image, admin, is_shared=False, confirm=back.token)
    delete_saved(image, admin, confirm=gone.token)

    for question in (back, gone):
        assert question.must_type == "base"
        assert "used by sam/lab. Their guests and disks stay" in question.kept[0]
    assert "base" not in catalogue_of(owner)
    claimed = KnownStates().read().claims.uses
    assert ("main", image.file) in claimed  # so that its file stays


def test_image_of_an_up_in_the_queue_stays(
    down: Testbed, owner: User, admin: User, stranger: User
):
    image = made(down, owner)
    naming(down, "base")
    state = planned(down, Command.UP, Options()).state
    naming_none = down.project.yaml.read_text().replace("base", "ubuntu_22_04")
    down.project.yaml.write_text(naming_none)
    run = Run.objects.create(
        testbed=down, command="up", plan={}, asked_by=owner, status="waiting"
    )
    PlannedStart.objects.create(
        run=run, state=state.model_dump_json(), is_change=False, needs=[]
    )

    with pytest.raises(ImageInUse, match="used by lab"):
        delete(image, owner)
    assert ("main", image.file) in KnownStates().read().claims.uses

    Run.objects.filter(pk=run.pk).update(status="cancelled")
    delete(image, owner)


def test_second_shared_image_of_a_name_is_refused_by_the_database(
    down: Testbed,
    owner: User,
    member: User,
    admin: User,
    monkeypatch: pytest.MonkeyPatch,
):
    one, other = made(down, owner), made(down, member)
    share_with_all(one, admin, is_shared=True)
    # As for an admin who looked at the same moment.
    monkeypatch.setattr(saved, "_require_free_name", lambda _: None)

    with pytest.raises(StateError, match="All users have an image base already"):
        share_with_all(other, admin, is_shared=True)

    assert SavedImage.objects.filter(is_shared=True).count() == 1


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize(
    ("guest", "name"), [("we\0b", "base"), ("web", "ba\0se"), ("\ud800", "\ud800")]
)
def test_name_that_no_database_stores_is_refused(
    down: Testbed, owner: User, guest: str, name: str
):
    with pytest.raises(ExecutionRefused):
        begun(down, owner, name, guest)
