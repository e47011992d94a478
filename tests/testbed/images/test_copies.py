"""A testbed is copied under a new name, without or with the disks of its guests."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.errors import ExecutionRefused, StateError, TestbedBusy
from testbed.access.limits import LimitReached
from testbed.access.names import NameTaken
from testbed.images.copies import copy, copy_with_disks
from testbed.models import Allowance, Entry, Run, SavedImage, Testbed, TrashItem
from testbed.runs.outcome import finish_run
from testbed.testbeds.findings import findings_of
from testbed.testbeds.listing.labels import describe
from testbed.testbeds.stored_files import files_bytes, list_files
from tests.testbed.conftest import ShareWith
from tests.testbed.images.saved_images import made, written
from tests.testbed.reading import visible

PAGE = "/testbeds/olive/lab/copy/"
JSON = {"Accept": "application/json"}


pytestmark = pytest.mark.usefixtures("image_store")


@pytest.fixture(name="used")
def _used(down: Testbed) -> Testbed:
    """A testbed that is down, with the disks of its guests, and a script."""
    for name in ("web", "db"):
        down.project.mark(name, disk="ubuntu_22_04-0.qcow2")
    script = down.project.file("scripts/run.sh")
    script.parent.mkdir(parents=True)
    script.write_text("echo")
    script.chmod(0o700)
    return down


def finished(run: Run, status: Run.Status = Run.Status.SUCCEEDED) -> None:
    if status == Run.Status.SUCCEEDED:
        for image in SavedImage.objects.filter(run=run):
            written(image)
    finish_run(run.pk, status)


def test_copy_has_the_files_and_an_owner_of_its_own(used: Testbed, stranger: User):
    found = copy(used, stranger, "two")

    assert list_files(found) == list_files(used)
    assert (found.owner, found.condition) == (stranger, Testbed.Condition.EMPTY)
    assert found.project.yaml.read_bytes() == used.project.yaml.read_bytes()
    assert found.project.file("scripts/run.sh").stat().st_mode & 0o777 == 0o700
    assert not found.project.has_state()
    assert found.number != used.number
    assert not found.runs.exists()
    assert not found.shares.exists()
    assert files_bytes(found) == sum(list_files(found).values())


def test_copy_has_the_description_and_tags(used: Testbed, stranger: User):
    describe(used, used.owner, "For the course", "course")
    used.refresh_from_db()

    found = copy(used, stranger, "two")

    assert Testbed.objects.get(name="two").description == "For the course"
    assert [tag.name for tag in found.tags.all()] == ["course"]


def test_copy_has_no_key_of_the_other(used: Testbed, stranger: User):
    assert used.project.identity_file.exists()

    found = copy(used, stranger, "two")

    folder = found.directory
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert names == {"files/kvm-compose.yaml", "files/scripts/run.sh"}


def test_name_of_another_testbed_is_refused(used: Testbed, owner: User):
    with pytest.raises(NameTaken):
        copy(used, owner, "lab")


def test_quota_of_the_copier_holds(used: Testbed, stranger: User):
    Allowance.objects.create(user=stranger, testbeds=0)

    with pytest.raises(LimitReached):
        copy(used, stranger, "two")

    assert Testbed.objects.count() == 1


def test_link_out_of_the_folder_is_not_followed(
    used: Testbed, owner: User, tmp_path: Path
):
    (tmp_path / "secret").write_text("secret")
    used.project.files.joinpath("link").symlink_to(tmp_path / "secret")

    found = copy(used, owner, "two")

    texts = [p.read_bytes() for p in found.directory.rglob("*") if p.is_file()]
    assert all(b"secret" not in text for text in texts)


def test_copy_with_disks_names_the_images_that_a_run_saves(
    used: Testbed, share: ShareWith
):
    editor = share(used, "editor")

    run = copy_with_disks(used, editor, "two")

    found = Testbed.objects.get(name="two")
    names = {image.name: image.owner for image in SavedImage.objects.all()}
    assert names == {"two-web": editor, "two-db": editor}
    assert "name: two-web" in found.project.yaml.read_text()
    assert run.title == "Save the disks of 2 guests for two"
    assert any("two-web" in one.message for one in findings_of(found))
    finished(run)
    assert not any("two-web" in one.message for one in findings_of(found))
    assert "two-web" not in used.project.yaml.read_text()


@pytest.mark.parametrize("status", [Run.Status.CANCELLED, Run.Status.FAILED])
@pytest.mark.django_db(transaction=True)
def test_copy_whose_disks_were_not_saved_goes_to_the_trash(
    used: Testbed, owner: User, status: Run.Status
):
    run = copy_with_disks(used, owner, "two")

    finished(run, status)

    assert list(Testbed.objects.values_list("slug", flat=True)) == ["lab"]
    assert not SavedImage.objects.exists()
    assert TrashItem.objects.get().slug == "two"


@pytest.mark.django_db(transaction=True)
def test_copy_whose_disks_were_not_saved_goes_also_without_a_trash(
    used: Testbed, owner: User, settings: pytest.FixtureRequest
):
    settings.TRASH_DAYS = 0
    run = copy_with_disks(used, owner, "two")

    finished(run, Run.Status.FAILED)

    assert list(Testbed.objects.values_list("slug", flat=True)) == ["lab"]


def test_nothing_is_copied_while_a_run_is_on(used: Testbed, owner: User):
    copy_with_disks(used, owner, "two")

    with pytest.raises(TestbedBusy):
        copy_with_disks(used, owner, "three")

    assert not Testbed.objects.filter(name="three").exists()


def test_refused_images_leave_no_copy(used: Testbed, owner: User):
    Allowance.objects.create(user=owner, user_disk_gib=0)
    SavedImage.objects.create(
        owner=owner,
        name="two-db",
        file="own-0123456789abcdef.qcow2",
        sha256="0" * 64,
        size_bytes=1,
        account="nocloud",
        has_cloud_init=True,
        origin="lab/db",
    )

    with pytest.raises(LimitReached):
        copy_with_disks(used, owner, "two")

    assert Testbed.objects.count() == 1
    assert not Run.objects.exists()


def test_refused_images_leave_no_copy_without_a_trash(
    used: Testbed, owner: User, settings: pytest.FixtureRequest
):
    settings.TRASH_DAYS = 0
    made(used, owner, "two-db")

    with pytest.raises(ExecutionRefused, match="an image two-db already"):
        copy_with_disks(used, owner, "two")

    assert Testbed.objects.count() == 1


def test_copys_own_record_says_where_it_is_from(used: Testbed, stranger: User):
    found = copy(used, stranger, "two")

    entry = Entry.objects.get(testbed_number=found.number)
    assert (entry.user, entry.what) == (
        str(stranger),
        "created it as a copy of olive/lab",
    )


@pytest.mark.django_db(transaction=True)
def test_removal_of_a_copy_without_its_disks_is_recorded(used: Testbed, owner: User):
    run = copy_with_disks(used, owner, "two")
    number = Testbed.objects.get(name="two").number

    finished(run, Run.Status.FAILED)

    entry = Entry.objects.filter(testbed_number=number, act="delete").get()
    assert (entry.user, entry.thing) == ("", "two")
    assert f"run {run.pk}" in entry.what


def test_testbed_without_disks_is_copied_without(generated: Testbed, owner: User):
    with pytest.raises(StateError, match="have no disks"):
        copy_with_disks(generated, owner, "two")


def test_viewer_copies_without_disks_alone(used: Testbed, share: ShareWith):
    client = Client()
    client.force_login(share(used, "viewer"))

    page = visible(client.get(PAGE).content.decode())
    refused = client.post(PAGE, {"name": "two", "disks": "on"})
    copied = client.post(PAGE, {"name": "two"})

    assert "With the disks" not in page
    assert refused.status_code == 403
    assert copied["Location"] == "/testbeds/a-viewer/two/"
    assert Testbed.objects.get(name="two").owner.username == "a-viewer"


def test_stranger_learns_nothing(used: Testbed, stranger: User):
    client = Client()
    client.force_login(stranger)

    assert client.get(PAGE).status_code == 404
    assert client.post(PAGE, {"name": "two"}).status_code == 404


def test_page_says_what_is_copied_and_keeps_a_refused_name(
    used: Testbed, browser: Client
):
    words = visible(browser.get(PAGE).content.decode())
    refused = browser.post(PAGE, {"name": "not a name", "disks": "on"})

    for word in ("runs and answers", "shares", "SSH keys of the testbed", "memory"):
        assert word in words
    assert 'value="lab-copy"' in browser.get(PAGE).content.decode()
    assert refused.status_code == 422
    assert 'value="not a name"' in refused.content.decode()
    assert "Copy…" in visible(browser.get("/testbeds/olive/lab/").content.decode())


def test_programs_copy(used: Testbed, browser: Client):
    plain = browser.post(PAGE, {"name": "two"}, "application/json")
    whole = browser.post(PAGE, {"name": "three", "disks": True}, "application/json")
    wrong = browser.post(PAGE, {"name": "new"}, "application/json")

    assert plain.json() == {"testbed": "two"}
    assert whole.json()["testbed"] == "three"
    kinds = [one["kind"] for one in whole.json()["instructions"]]
    assert kinds == ["save-images", "end"]
    assert wrong.status_code == 422
