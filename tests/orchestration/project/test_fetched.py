"""Guests' files stay within the testbed's quota, also from many at once."""

from pathlib import Path

import pytest

from orchestration.errors import NotEnoughSpace
from orchestration.project.fetched import STEP_BYTES, Arrival, Quota

MIB = 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the project."""
    return tmp_path / "project"


def arrive(
    folder: Path, name: str, size: int, *, quota: int = 32 * MIB, spare: int = 0
) -> None:
    """Let a guest send so much: `7/a` is guest `a` in run 7."""
    run, _, guest = name.partition("/")
    folder.mkdir(exist_ok=True)
    limits = Quota(size_bytes=quota, spare_bytes=spare)
    arrival = Arrival(folder / "fetched" / run, guest, limits)
    with arrival.opened() as part:
        (part / "file").write_text(name)
        for _ in range(size // MIB):
            arrival.spend(MIB)


def test_files_get_their_name_when_they_are_complete(folder: Path) -> None:
    arrive(folder, "7/a", MIB)

    assert (folder / "fetched" / "7" / "a" / "file").read_text() == "7/a"
    assert [p.name for p in (folder / "fetched" / "7").iterdir()] == ["a"]


def test_half_result_is_discarded_and_gives_its_space_back(folder: Path) -> None:
    with pytest.raises(NotEnoughSpace, match=r"would take more than 32\.0 MiB"):
        arrive(folder, "7/a", 40 * MIB)

    assert list((folder / "fetched" / "7").iterdir()) == []
    arrive(folder, "7/b", 30 * MIB)


def test_all_guests_and_runs_share_the_quota(folder: Path) -> None:
    arrive(folder, "7/a", 15 * MIB)
    arrive(folder, "8/a", 15 * MIB)

    with pytest.raises(NotEnoughSpace):
        arrive(folder, "8/b", 5 * MIB)


def test_deleted_files_count_no_more(folder: Path) -> None:
    arrive(folder, "7/a", 30 * MIB)
    (folder / "fetched" / "7").rename(folder / "gone")

    arrive(folder, "8/a", 30 * MIB)

    assert (folder / "fetched" / "8" / "a").is_dir()


def test_guest_takes_what_it_used_and_no_whole_step(folder: Path) -> None:
    for number in range(16):
        arrive(folder, f"7/g{number}", 2 * MIB, quota=32 * MIB + STEP_BYTES)

    assert len(list((folder / "fetched" / "7").iterdir())) == 16


def test_disk_of_main_keeps_its_spare_space(folder: Path) -> None:
    with pytest.raises(NotEnoughSpace, match="disk of the main host is almost full"):
        arrive(folder, "7/a", MIB, spare=2**60)


def test_second_arrival_replaces_the_first(folder: Path) -> None:
    arrive(folder, "7/a", MIB)
    part = folder / "fetched" / "7" / ".a.part"
    part.mkdir()
    (part / "left by a worker that died").touch()

    arrive(folder, "7/a", MIB)

    assert [p.name for p in (folder / "fetched" / "7" / "a").iterdir()] == ["file"]
