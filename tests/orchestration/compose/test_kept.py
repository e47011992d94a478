"""Kept findings: those of a new check, whatever changed since."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from orchestration.compose.catalogue import Catalogue
from orchestration.compose.kept import Given, KeptFindings
from orchestration.compose.pools import Ranges
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

SCRIPT = b"#!/bin/sh\n"
TEXT = b"""
machines:
  - name: web
    libvirt:
      cpus: 1
      memory_mb: 256
      libvirt_type:
        cloud_image:
          name: test_guest
          setup_script: a.sh
          context: data
"""
DISK = b"""
machines:
  - name: web
    libvirt:
      cpus: 1
      memory_mb: 256
      libvirt_type:
        existing_disk:
          path: /images/one.qcow2
"""
GIVEN = Given(TEXT, catalogue_with_test_guest(), "demo", None, Ranges(), ())


class AskedFiles(FakeFiles):
    """Files that count the contents that were read in full."""

    reads = 0

    def head(self, path: str, size: int = 256) -> bytes:
        self.reads += 1
        return super().head(path, size)


@pytest.fixture
def files() -> FakeFiles:
    return FakeFiles({"a.sh": SCRIPT}, folders={"data"})


def fresh(given: Given, files: FakeFiles, *folders: FakeFiles) -> object:
    return KeptFindings().of(given, files, folders)


def test_findings_of_the_same_check_are_the_same_object(files: FakeFiles) -> None:
    kept = KeptFindings()
    files.files["a.sh"] = b"echo\n"

    first = kept.of(GIVEN, files, ())

    assert first
    assert kept.of(GIVEN, files, ()) is first


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.files.update({"a.sh": b"echo\n"}),
        lambda files: files.files.update({"a.sh": b""}),
        lambda files: files.files.pop("a.sh"),
        lambda files: files.outside.add("a.sh"),
        lambda files: files.folders.clear(),
        lambda files: files.sizes.update({"data": 10**9}),
        lambda files: files.sizes.update({"a.sh": 10**9}),
    ],
)
def test_change_of_a_file_is_checked_again(
    files: FakeFiles, change: Callable[[FakeFiles], object]
) -> None:
    kept = KeptFindings()
    before = kept.of(GIVEN, files, ())

    change(files)

    after = kept.of(GIVEN, files, ())
    assert after != before
    assert after == fresh(GIVEN, files)


def test_file_that_is_written_later_is_found(files: FakeFiles) -> None:
    kept, script = KeptFindings(), files.files.pop("a.sh")
    assert kept.of(GIVEN, files, ())

    files.files["a.sh"] = script

    assert kept.of(GIVEN, files, ()) == ()


@pytest.mark.parametrize(
    "given",
    [
        replace(GIVEN, text=TEXT.replace(b"web", b"w_b")),
        replace(GIVEN, catalogue=Catalogue([])),
        replace(GIVEN, testbed_name="d" * 60),
        replace(GIVEN, text=TEXT + b"    more: 1\n"),
    ],
)
def test_other_arguments_are_checked_anew(files: FakeFiles, given: Given) -> None:
    kept = KeptFindings()
    before = kept.of(GIVEN, files, ())

    after = kept.of(given, files, ())

    assert after != before
    assert after == fresh(given, files)
    assert kept.of(GIVEN, files, ()) == before


@pytest.mark.parametrize(
    "given",
    [
        replace(GIVEN, network_cards=["eth0"]),
        replace(GIVEN, ranges=Ranges(nat=IPv4Network("10.9.0.0/16"))),
    ],
)
def test_arguments_that_change_no_finding_here_are_compared_too(
    files: FakeFiles, given: Given
) -> None:
    kept, asked = KeptFindings(), AskedFiles({"a.sh": SCRIPT}, folders={"data"})
    kept.of(GIVEN, asked, ())
    assert asked.reads == 1
    kept.of(GIVEN, asked, ())
    assert asked.reads == 2  # the question once more, without a check

    kept.of(given, asked, ())

    assert asked.reads == 3


def test_disk_in_a_folder_of_images_is_asked_for_again() -> None:
    kept, own = KeptFindings(), FakeFiles(outside={"/images/one.qcow2"})
    images = FakeFiles({"/images/one.qcow2": b"QFI\xfb" + bytes(508)})
    given = replace(GIVEN, text=DISK)
    before = kept.of(given, own, (images,))

    images.files.clear()

    after = kept.of(given, own, (images,))
    assert after != before
    assert after == fresh(given, own, images)


def test_last_checks_alone_are_kept(files: FakeFiles) -> None:
    kept = KeptFindings(most_checks=2)
    files.files["a.sh"] = b"echo\n"
    first = kept.of(GIVEN, files, ())

    for name in ("one", "two"):
        kept.of(replace(GIVEN, testbed_name=name), files, ())

    again = kept.of(GIVEN, files, ())
    assert again == first
    assert again is not first


def test_check_with_too_many_questions_is_not_kept(files: FakeFiles) -> None:
    kept = KeptFindings(most_questions=1)
    files.files["a.sh"] = b"echo\n"
    first = kept.of(GIVEN, files, ())

    assert kept.of(GIVEN, files, ()) == first
    assert kept.of(GIVEN, files, ()) is not first
