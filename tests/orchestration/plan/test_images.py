"""Wishes to save guests as images, and their plans."""

import pytest

from orchestration.errors import ExecutionRefused
from orchestration.plan.images import ImageWish, require_name
from orchestration.plan.lifecycle import plan_save_images
from orchestration.plan.model import Plan
from orchestration.state.model import State
from tests.orchestration.state.samples import build, machine, spec_of


@pytest.fixture(name="state")
def _state() -> State:
    return build(spec_of(machine("a"), machine("b")))


def test_guest_that_is_off_is_only_saved(state: State) -> None:
    plan = plan_save_images(state, ImageWish({"a": "own-0.qcow2"}))

    titles = [entry.title for entry in plan.instructions]
    assert titles == ["Save 1 guest as an image", "End"]
    assert Plan.from_json(plan.to_json()) == plan


def test_guest_that_was_shut_down_starts_again_also_after_a_failure(
    state: State,
) -> None:
    wish = ImageWish({"a": "own-0.qcow2", "b": "own-1.qcow2"}, running=("b",))

    plan = plan_save_images(state, wish)

    found = [(i.kind, len(i.resources), i.keep_going) for i in plan.instructions]
    assert found == [
        ("shut-down", 1, False),
        ("save-images", 2, True),
        ("power-on", 1, False),
        ("end", 0, False),
    ]


@pytest.mark.parametrize(
    "name", ["", "1", "A", "a b", "a/b", "../a", "é", "-a", "a\n", "a" * 64]
)
def test_name_that_no_yaml_could_write_is_refused(name: str) -> None:
    with pytest.raises(ExecutionRefused):
        require_name(name)


def test_usual_names_are_taken() -> None:
    for name in ("base", "web-1.2_b", "a" * 63):
        require_name(name)
