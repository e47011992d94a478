"""Each value stands where PyYAML's own reader, written in Python, finds it."""

from collections.abc import Iterator

import pytest
import yaml

from orchestration.compose.reading.document import Document, read_document
from orchestration.compose.reading.positions import Path, Position
from tests.orchestration.compose.reading.test_fuzz import SEEDS, torn

TORN = 300


def places(
    node: yaml.Node, path: Path = ()
) -> Iterator[tuple[str, Path, tuple[int, int]]]:
    """Yield the places of all keys and values of a document with plain keys."""
    mark = node.start_mark
    yield "value", path, (mark.line + 1, mark.column + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from places(item, (*path, index))
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            mark = key.start_mark
            yield "key", below, (mark.line + 1, mark.column + 1)
            yield from places(value, below)


def assert_same(document: Document, text: str) -> None:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    for kind, path, (line, column) in places(node):
        known = document.positions
        found = known.keys if kind == "key" else known.values
        assert found[path] == Position(line, column), (kind, path)


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_values_of_every_file_of_the_tests_stand_where_pyyaml_finds_them(
    number: int,
) -> None:
    document = read_document(SEEDS[number])

    if document.readable and not document.findings:
        assert_same(document, SEEDS[number])


def test_values_of_torn_files_stand_where_pyyaml_finds_them() -> None:
    compared = 0
    for number in range(TORN):
        document = read_document(torn(number))
        if document.readable and not document.findings:
            assert_same(document, torn(number))
            compared += 1
    assert compared > TORN // 10
