"""Golden images whose scripts or context are edited, at any moment.

A golden image is named after what goes into it: what was edited makes another image,
and what is edited between planning and storing is never stored under the old name.
"""

from pathlib import Path

import pytest

from orchestration.compose.language.schema import Spec
from orchestration.events import Status
from orchestration.instructions import golden
from orchestration.plan.model import Kind
from tests.orchestration.instructions.golden.clones import (
    clones,
    image_of,
    is_made,
    leftovers,
)
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import scaled, spec_of


def test_edited_shared_script_makes_another_image_and_the_clones_anew(
    scaling: Rehearsal,
) -> None:
    scaling.up()
    before = image_of(scaling)
    (scaling.project.files / "shared.sh").write_text("make other things\n")
    scaling.edit(clones("br0", "br1", "br1"))

    outcomes = scaling.up()

    assert outcomes.failed() == {}
    assert outcomes.of(Kind.PREPARE_GOLDENS)["node"].status is Status.DONE
    assert image_of(scaling).path != before.path
    assert set(outcomes.of(Kind.DELETE_DISKS)) == {"node-0", "node-1", "node-2"}
    for guest in scaling.state.guests:
        disk = scaling.memory(guest.host)["files"][guest.disk]
        assert disk["backing"] == guest.image.path


def test_script_that_was_edited_after_planning_is_not_what_the_name_says(
    scaling: Rehearsal,
) -> None:
    (scaling.project.files / "shared.sh").write_text("make other things\n")

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.FAILED
    assert "script shared.sh was edited after golden image node" in result.message
    assert not is_made(scaling)


def test_script_that_is_edited_while_the_guest_boots_is_not_stored(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = golden.wait_until_reachable

    def edit(*of: object) -> object:
        (scaling.project.files / "shared.sh").write_text("make other things\n")
        return wait(*of)

    monkeypatch.setattr(golden, "wait_until_reachable", edit)

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.FAILED
    assert "script shared.sh was edited after golden image node" in result.message
    assert not is_made(scaling)
    assert leftovers(scaling) == []


def with_context() -> Spec:
    node = scaled("node", ["br0"], shared_setup="shared.sh")
    assert isinstance(node, dict)
    node["libvirt"]["libvirt_type"]["cloud_image"]["context"] = "data"
    return spec_of(node)


@pytest.fixture(name="context")
def _context(scaling: Rehearsal) -> Path:
    """The one file of the context that goes into the golden image."""
    file = scaling.project.files / "data" / "one.txt"
    file.parent.mkdir()
    file.write_text("A")
    scaling.build(with_context())
    return file


def test_context_that_is_edited_and_edited_back_does_not_get_in_between(
    scaling: Rehearsal, context: Path
) -> None:
    context.write_text("B")
    refused = scaling.up().of(Kind.GENERATE_ARTEFACTS)["node"]
    context.write_text("A")

    assert refused.status is Status.FAILED
    assert "context data was edited after golden image node was" in refused.message
    assert "Start up again" in refused.hint
    assert not (scaling.project.artefacts / "node-seed.iso").exists()
    assert scaling.up().of(Kind.PREPARE_GOLDENS)["node"].status is Status.DONE


def test_context_that_is_edited_when_it_is_in_the_seed_makes_another_image_later(
    scaling: Rehearsal, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = golden.wait_until_reachable

    def edit(*of: object) -> object:
        context.write_text("B")
        return wait(*of)

    monkeypatch.setattr(golden, "wait_until_reachable", edit)
    made = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]
    of_a = image_of(scaling)
    scaling.build(with_context())

    assert made.status is Status.DONE
    assert image_of(scaling).golden != of_a.golden
