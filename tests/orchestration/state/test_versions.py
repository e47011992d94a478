"""State files of earlier versions load, step by step, or say why not."""

import json
from pathlib import Path

import pytest

from orchestration.errors import StateError
from orchestration.state import versions
from orchestration.state.guests import spec_hash
from orchestration.state.model import SCHEMA_VERSION
from orchestration.state.versions import STEPS, load_state
from tests.golden import DATA
from tests.orchestration.state.samples import sample

FILES = {int(path.stem.partition("-")[2]): path for path in DATA.glob("states/*.json")}


def stored(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text())
    return content


def test_each_earlier_version_has_its_step_and_its_file() -> None:
    assert set(STEPS) == set(range(1, SCHEMA_VERSION)) == set(FILES)


@pytest.mark.parametrize("version", FILES)
def test_file_of_an_earlier_version_loads(version: int) -> None:
    content = FILES[version].read_bytes()

    state = load_state(content)

    assert json.loads(content)["schema_version"] == version
    assert state.schema_version == SCHEMA_VERSION
    assert load_state(state.model_dump_json().encode()) == state


def test_state_of_this_version_is_read_as_it_stands() -> None:
    state = sample("stretched")

    assert load_state(state.model_dump_json().encode()) == state


def test_disk_of_version_1_is_still_known_to_be_there() -> None:
    made, blank = load_state(FILES[1].read_bytes()).guests

    assert made.markers.disk == made.image.identity
    assert (made.markers.reached, blank.markers.disk) == ("", "")


def test_guest_of_version_1_keeps_what_it_runs_under() -> None:
    before, now = stored(FILES[1]), load_state(FILES[1].read_bytes())

    kept = ("domain", "uuid", "disk", "seed", "host", "cpus", "spec_hash")
    guests = before["guests"]
    assert isinstance(guests, list)
    assert [{key: guest[key] for key in kept} for guest in guests] == [
        {key: getattr(guest, key) for key in kept} for guest in now.guests
    ]


def test_users_disk_of_version_2_becomes_the_source_of_a_copy() -> None:
    now = load_state(FILES[2].read_bytes())

    built = sample("existing-disk")
    assert [guest.image for guest in now.guests] == [g.image for g in built.guests]
    assert [guest.spec_hash for guest in now.guests] == [
        spec_hash(guest, now.host(guest.host)) for guest in now.guests
    ]


def test_steps_are_taken_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def step(number: int) -> versions.Step:
        def take(content: versions.Stored) -> versions.Stored:
            taken.append(number)
            return STEPS[1](content) if number == 1 else content

        return take

    steps = {number: step(number) for number in (1, 2, 3)}
    content = FILES[1].read_bytes()
    monkeypatch.setattr(versions, "SCHEMA_VERSION", 4)
    monkeypatch.setattr(versions, "STEPS", steps)
    load_state(content)

    assert taken == [1, 2, 3]


@pytest.mark.parametrize(
    ("version", "said", "hint"),
    [
        (SCHEMA_VERSION + 1, "newer version of this program", "Update this program"),
        (0, f"this program reads 1 to {SCHEMA_VERSION}", "that wrote it"),
        (-1, f"this program reads 1 to {SCHEMA_VERSION}", "that wrote it"),
    ],
)
def test_version_that_cannot_be_read_is_named(
    version: int, said: str, hint: str
) -> None:
    content = json.dumps({**stored(FILES[1]), "schema_version": version}).encode()

    with pytest.raises(StateError, match=f"version {version}") as caught:
        load_state(content)

    assert said in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"schema_version": null}',
        b'{"schema_version": 1}',
        b'{"schema_version": 1, "guests": [1]}',
        b'{"schema_version": 1, "guests": [{"markers": {}}]}',
    ],
)
def test_text_that_is_no_state_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        load_state(content)
