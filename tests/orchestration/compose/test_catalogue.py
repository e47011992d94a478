"""The shipped images can be verified; local ones are added and mistakes are named."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestration.compose.catalogue import Image, load_catalogue
from orchestration.errors import ImageFailed

SHIPPED = [
    "cirros_0_6_2",
    "debian_12",
    "debian_13",
    "ubuntu_18_04",
    "ubuntu_20_04",
    "ubuntu_22_04",
    "ubuntu_24_04",
    "ubuntu_26_04",
]
LOCAL = {
    "name": "test_guest",
    "path": "test_guest-abc.qcow2",
    "sha256": "ab" * 32,
    "format": "qcow2",
    "size_bytes": 12345,
    "built_with": "a newer version's key",
}


def test_shipped_catalogue_has_its_images() -> None:
    assert list(load_catalogue()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_image_is_a_dated_release_that_can_be_verified(name: str) -> None:
    image = load_catalogue()[name]

    assert image.url.startswith("https://")
    assert "/current/" not in image.url
    assert "/latest/" not in image.url
    assert image.digest


def test_sums_are_of_the_same_release_as_the_image() -> None:
    for image in load_catalogue().values():
        if image.sums_url:
            assert image.sums_url.rpartition("/")[0] == image.url.rpartition("/")[0]


def test_folder_adds_local_images_with_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "test_guest.json").write_text(json.dumps(LOCAL))

    catalogue = load_catalogue(tmp_path)

    image = catalogue["test_guest"]
    assert image.path == str(tmp_path.resolve() / "test_guest-abc.qcow2")
    assert image.sha256 == "ab" * 32
    assert image.user == "nocloud"
    assert len(catalogue) == len(SHIPPED) + 1


def test_file_may_hold_several_images(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps([LOCAL, {**LOCAL, "name": "other", "path": "/a/b"}]))

    catalogue = load_catalogue(file)

    assert catalogue["other"].path == "/a/b"
    assert "test_guest" in catalogue


def test_local_image_replaces_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**LOCAL, "name": "debian_12"}))

    assert load_catalogue(tmp_path)["debian_12"].url == ""


def test_missing_folder_adds_nothing(tmp_path: Path) -> None:
    assert list(load_catalogue(tmp_path / "nowhere")) == SHIPPED


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "recursion"),
        ('"text"', "valid dictionary"),
        ('{"name": "a"}', "either url or path"),
        ('{"name": "a", "path": "x", "url": "y"}', "either url or path"),
        ('{"name": "../a", "path": "x"}', "name"),
        ('{"name": "a", "path": "x", "sha256": "abc"}', "sha256"),
        ('{"name": "a", "path": "x", "format": "vmdk"}', "format"),
        ('{"name": "a", "path": "x", "size_bytes": -1}', "size_bytes"),
    ],
)
def test_broken_list_is_named(tmp_path: Path, content: str, detail: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(content)

    with pytest.raises(ImageFailed, match=r"broken\.json") as caught:
        load_catalogue(tmp_path)

    assert detail in caught.value.detail


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageFailed, match="nowhere"):
        load_catalogue(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("ubuntu-22.04", "ubuntu_22_04"), ("debian", "debian_13"), ("windows", "")],
)
def test_nearest_image_is_suggested(wrong: str, near: str) -> None:
    assert load_catalogue().nearest(wrong) == near


def test_image_cannot_be_changed() -> None:
    image = Image(name="a", path="/x")

    with pytest.raises(ValidationError):
        image.name = "b"
