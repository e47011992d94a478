"""The examples cover the language: no findings, and each means what was reviewed."""

from pathlib import Path

import pytest

from orchestration.compose.catalogue import Catalogue, Image
from orchestration.compose.check import check
from orchestration.compose.files import FolderFiles
from orchestration.compose.language.built import not_built
from orchestration.compose.language.schema import Spec
from tests.golden import DATA, Golden
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest
from tests.orchestration.state.samples import is_built

CHECKOUT = DATA.parent.parent
EXAMPLES = sorted((CHECKOUT / "examples").glob("*/kvm-compose.yaml"))


def spec_of(file: Path) -> Spec:
    loaded = check(
        file.read_bytes(),
        files=FolderFiles(file.parent),
        catalogue=catalogue_with_test_guest(),
        testbed_name=file.parent.name,
    )
    assert loaded.findings == ()
    return loaded.require()


def name_of(file: Path) -> str:
    return file.parent.name


@pytest.mark.parametrize("file", EXAMPLES, ids=name_of)
def test_example_has_no_finding_and_means_what_was_reviewed(
    file: Path, golden: Golden
) -> None:
    spec = spec_of(file)

    text = spec.model_dump_json(indent=1, exclude_none=True, by_alias=True)
    golden(text, DATA / "expected" / f"{file.parent.name}.spec.json")


@pytest.mark.parametrize("file", EXAMPLES, ids=name_of)
def test_example_is_refused_in_the_reviewed_sentence_or_has_state_and_plan(
    file: Path, golden: Golden
) -> None:
    name, spec = name_of(file), spec_of(file)

    if not is_built(file):
        golden(not_built(spec), DATA / "expected" / f"{name}.refusal.txt")
        wanted = {"refusal.txt", "spec.json", "sketch.svg"}
    else:
        wanted = {"plan.txt", "spec.json", "state.json"}
    there = {path.name for path in (DATA / "expected").glob(f"{name}.*")}
    assert {f"{name}.{ending}" for ending in wanted} <= there


@pytest.mark.parametrize("file", EXAMPLES, ids=name_of)
def test_readme_says_whether_the_example_can_be_brought_up(file: Path) -> None:
    readme = file.with_name("README.md").read_text()

    assert ("Not built yet" in readme) == bool(not_built(spec_of(file)))


def test_first_example_of_the_readme_needs_only_the_image_of_the_demo() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    text = readme.partition("```yaml\n")[2].partition("```")[0]

    demo = Catalogue([Image(name="test_guest", path="/images/test_guest.qcow2")])
    loaded = check(text, files=FakeFiles(), catalogue=demo)

    assert loaded.findings == ()
    assert not not_built(loaded.require())
