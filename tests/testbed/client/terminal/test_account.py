"""Commands about what Olive has: images, SSH keys."""

import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from orchestration.project.keys import generate_key_pair
from testbed.models import Run, SavedImage, Testbed, UserKey
from tests.testbed.client.terminal.conftest import Testbed as Command

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def image(owner: User, settings, tmp_path: Path) -> SavedImage:
    """Olive's image, which is ready."""
    settings.RUNTIME_DIR = tmp_path / "runtime"
    return SavedImage.objects.create(
        name="mine",
        owner=owner,
        sha256="a" * 64,
        size_bytes=2048,
        file="a.qcow2",
        account="ubuntu",
        has_cloud_init=True,
        origin="lab/web",
    )


@pytest.fixture
def public_key(folder: Path) -> Path:
    """A file with a public key."""
    file = folder / "id.pub"
    file.write_text(generate_key_pair("olive@laptop").public_line)
    return file


def test_images_are_listed_and_an_own_one_is_deleted_with_yes(
    signed_in: Command, image: SavedImage, capsys: Capture
) -> None:
    assert signed_in("images", "list") == 0
    assert capsys.readouterr().out == "mine\tolive\t2.0 KiB\tno\n"
    assert signed_in("images", "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["items"]] == ["mine"]
    assert found["installed"]

    assert signed_in("images", "delete", "none") == 3
    assert "There is no image none of olive." in capsys.readouterr().err
    assert signed_in("images", "delete", "mine") == 3
    assert "Add --yes" in capsys.readouterr().err
    assert SavedImage.objects.kept().exists()
    assert signed_in("images", "delete", "mine", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": "mine", "owner": "olive"}
    assert not SavedImage.objects.kept().exists()


def test_image_of_a_guest_that_is_not_there_is_refused(
    signed_in: Command, generated: Testbed, capsys: Capture
) -> None:
    words = ("images", "save", "none", "mine", "--project-name", "lab")

    assert signed_in(*words) == 3
    assert capsys.readouterr().err.startswith("Error: ")
    assert not Run.objects.exists()


def test_key_is_added_listed_and_removed_by_its_name(
    signed_in: Command, public_key: Path, capsys: Capture
) -> None:
    assert signed_in("ssh-keys", "add", "id.pub", "--name", "laptop") == 0
    assert signed_in("ssh-keys", "add", "id.pub") == 3
    capsys.readouterr()

    assert signed_in("ssh-keys", "list") == 0
    row = UserKey.objects.get()
    shown = f"{row.pk}\tlaptop\t{row.kind}\t{row.fingerprint}\n"
    assert capsys.readouterr().out == shown
    assert signed_in("ssh-keys", "remove", "none") == 3
    assert signed_in("ssh-keys", "remove", "laptop", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": row.pk}
    assert not UserKey.objects.exists()


def test_two_keys_of_one_name_are_removed_by_their_numbers(
    signed_in: Command, public_key: Path, capsys: Capture
) -> None:
    assert signed_in("ssh-keys", "add", "id.pub", "--name", "same") == 0
    public_key.write_text(generate_key_pair("").public_line)
    assert signed_in("ssh-keys", "add", "id.pub", "--name", "same") == 0

    assert signed_in("ssh-keys", "remove", "same") == 3
    assert "You have several keys same." in capsys.readouterr().err
    number = UserKey.objects.order_by("pk").values_list("pk", flat=True)[0]
    assert signed_in("ssh-keys", "remove", str(number)) == 0
    assert UserKey.objects.count() == 1


def test_private_key_is_not_sent(
    signed_in: Command, folder: Path, capsys: Capture
) -> None:
    (folder / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")

    assert signed_in("ssh-keys", "add", "id") == 2
    assert "Nothing was sent." in capsys.readouterr().err
    assert signed_in("ssh-keys", "add", "none") == 2
