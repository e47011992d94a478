"""YAML text → plain values with positions, for untrusted text.

Reads libyaml's events one by one and stops at the first exceeded limit, so that hostile
input (deep nesting, alias bombs, binary) costs bounded time and memory. The loader
turns the result into a `Spec`. Deliberate differences from YAML 1.1: keys are always
text, times and dates and base-60 numbers stay text (an unquoted MAC such as
52:54:00:12:34:56 would be a number), tags and merge keys are refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import yaml

from orchestration.compose.reading.invisible import (
    INVISIBLE,
    Hidden,
    cause_of_error,
    is_indent,
    place_in,
    trimmed,
)
from orchestration.compose.reading.positions import Path, Position, Positions
from orchestration.compose.reading.text import (
    Refused,
    Scalar,
    as_text,
    line_of,
    refused,
    syntax_finding,
    typed,
)
from orchestration.errors import Finding, Severity

DEPTH_LIMIT = 40
NODE_LIMIT = 100_000
# Deeper indentation is not examined, so that one long line costs no more than others.
INDENT_LIMIT = 200

Value = str | int | float | bool | list["Value"] | dict[str, "Value"] | None

Resolve = Callable[[type[yaml.Node], str, tuple[bool, bool]], str]


@dataclass(slots=True)
class Document:
    """The values and findings. `readable` is false when reading stopped early."""

    data: Value = None
    positions: Positions = field(default_factory=Positions)
    findings: list[Finding] = field(default_factory=list)
    readable: bool = True


class Node(NamedTuple):
    """One value with its position: a scalar, a list's items, or a map's pairs."""

    position: Position
    value: Scalar = None
    items: "tuple[Node, ...] | None" = None
    pairs: "tuple[tuple[Node, Node], ...] | None" = None

    def below(self) -> "tuple[Node, ...]":
        """Return the direct children, keys included."""
        if self.pairs is not None:
            return tuple(node for pair in self.pairs for node in pair)
        return self.items or ()


@dataclass(frozen=True, slots=True)
class Anchored:
    """A node that aliases may repeat, with the cost of each repetition."""

    node: Node
    size: int
    height: int


def read_document(text: str | bytes) -> Document:
    """Read one YAML document; never raises for a fault in the text."""
    document = Document()
    try:
        root = _read(as_text(text), document.findings)
    except Refused as refused:
        document.findings.append(refused.finding)
        document.readable = False
    else:
        document.data = _plain(root, (), document)
    return document


def _read(text: str, findings: list[Finding]) -> Node:
    reader = _Reader(text, findings)
    try:
        return reader.read()
    except yaml.YAMLError as error:
        hidden = reader.hidden or cause_of_error(text, line_of(error))
        finding = hidden.finding() if hidden else syntax_finding(error)
        raise Refused(finding) from error


class _Reader:
    """Builds nodes from libyaml's events and counts them against the limits."""

    def __init__(self, text: str, findings: list[Finding]) -> None:
        self.loader = yaml.CSafeLoader(text)
        self.findings = findings
        self.anchors: dict[str, Anchored] = {}
        self.nodes = 0
        self.text = text
        self.hidden: Hidden | None = None
        self.has_invisible = INVISIBLE.search(text) is not None

    def read(self) -> Node:
        try:
            return self._stream()
        finally:
            self.loader.dispose()

    def _stream(self) -> Node:
        self._next()
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise refused(
                Position(), "The file is empty.", "Write at least `machines: []`."
            )
        root = self._node(self._next(), 1)
        self._next()
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise refused(
                _place(event),
                "The file holds more than one YAML document.",
                "Remove everything from the second `---` line on.",
            )
        return root

    def _next(self) -> yaml.Event:
        event: yaml.Event | None = self.loader.get_event()
        return event or yaml.StreamEndEvent()

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._check_depth(event, depth)
        self._count(1, event)
        self._refuse_tag(event)
        before = self.nodes
        node = self._content(event, depth)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            size = 1 + self.nodes - before
            self.anchors[event.anchor] = Anchored(node, size, _height(node))
        return node

    def _refuse_tag(self, event: yaml.Event) -> None:
        tag = getattr(event, "tag", None)
        if tag:
            tag = tag.replace("tag:yaml.org,2002:", "!!")
            self._complain(
                event,
                f"Tags are not supported: `{tag}`.",
                "Remove the tag; quote the value if it must be text.",
            )

    def _content(self, event: yaml.Event, depth: int) -> Node:
        place = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            return Node(place, self._scalar(event))
        if isinstance(event, yaml.SequenceStartEvent):
            items = self._children(yaml.SequenceEndEvent, depth)
            return Node(place, items=tuple(items))
        flat = list(self._children(yaml.MappingEndEvent, depth))
        return Node(place, pairs=tuple(zip(flat[::2], flat[1::2], strict=True)))

    def _children(self, end: type[yaml.Event], depth: int) -> Iterable[Node]:
        is_key = end is yaml.MappingEndEvent
        keys = is_key
        while not isinstance(event := self._next(), end):
            if is_key and isinstance(event, yaml.ScalarEvent):
                self._count(1, event)
                yield Node(_place(event), self._visible(event, is_key=True))
            else:
                yield self._node(event, depth + 1)
            is_key = keys and not is_key

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        target = self.anchors.get(event.anchor or "")
        if target is None:
            raise refused(
                _place(event),
                f"Alias `*{event.anchor}` has no anchor before it.",
                "Write the value out instead of the alias.",
            )
        self._check_depth(event, depth + target.height - 1)
        self._count(target.size, event)
        return target.node

    def _check_depth(self, event: yaml.Event, depth: int) -> None:
        if depth > DEPTH_LIMIT:
            raise refused(_place(event), f"Nested deeper than {DEPTH_LIMIT} levels.")

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self.nodes += nodes
        if self.nodes > NODE_LIMIT:
            raise refused(
                _place(event),
                f"The file holds more than {NODE_LIMIT} values, aliases expanded.",
                "Write less, or split it into several testbeds.",
            )

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        if not event.implicit[0]:
            return event.value
        resolve = cast(Resolve, self.loader.resolve)
        value = self._visible(event)
        tag = resolve(yaml.ScalarNode, value, event.implicit)
        return typed(tag.rpartition(":")[2], value)

    def _visible(self, event: yaml.ScalarEvent, *, is_key: bool = False) -> str:
        """Return plain text without stray invisible characters, and report them.

        An invisible character inside a value may be intended and is only a warning.
        Raises: Refused when it stands in an indentation, where it changes the
        structure.
        """
        if not self.has_invisible or event.style or not INVISIBLE.search(event.value):
            return event.value
        self.hidden = hidden = self._hidden(event)
        if hidden.is_indent:
            raise Refused(hidden.finding())
        seen = trimmed(INVISIBLE.sub("", event.value) if is_key else event.value)
        is_meant = seen == event.value
        severity = Severity.WARNING if is_meant else Severity.ERROR
        self.findings.append(hidden.finding(severity))
        return seen

    def _hidden(self, event: yaml.ScalarEvent) -> Hidden:
        """Find the first invisible character of a scalar that has one."""
        begin, end = cast(yaml.Mark, event.start_mark), cast(yaml.Mark, event.end_mark)
        raw = self.text[begin.index : end.index]
        found = INVISIBLE.search(raw)
        assert found  # nosec B101  # noqa: S101 - the value has one
        place = place_in(raw, found.start())
        column = place.column + (begin.column if place.line == 1 else 0)
        line_start = begin.index + found.start() - (column - 1)
        return Hidden(
            found.group(),
            Position(place.line + begin.line, column),
            is_indent=column <= INDENT_LIMIT
            and is_indent(self.text[line_start : line_start + column]),
        )

    def _complain(self, event: yaml.Event, message: str, hint: str) -> None:
        place = _place(event)
        self.findings.append(
            Finding(place.line, place.column, Severity.ERROR, "", message, hint)
        )


def _height(node: Node) -> int:
    return 1 + max((_height(below) for below in node.below()), default=0)


def _plain(node: Node, path: Path, document: Document) -> Value:
    """Move the positions into the document's table, path by path."""
    document.positions.values.setdefault(path, node.position)
    if node.pairs is not None:
        return _plain_map(node.pairs, path, document)
    if node.items is not None:
        return [
            _plain(item, (*path, index), document)
            for index, item in enumerate(node.items)
        ]
    return node.value


def _plain_map(
    pairs: tuple[tuple[Node, Node], ...], path: Path, document: Document
) -> dict[str, Value]:
    positions, result = document.positions, dict[str, Value]()
    for key, value in pairs:
        if not isinstance(key.value, str):
            here = Positions({path: key.position})
            document.findings.append(here.error(path, "A key must be plain text."))
            continue
        below = (*path, key.value)
        if key.value in result or key.value == "<<":
            document.findings.append(_bad_key(key, below, positions))
            continue
        positions.keys[below] = key.position
        result[key.value] = _plain(value, below, document)
    return result


def _bad_key(key: Node, path: Path, positions: Positions) -> Finding:
    here = Positions({path: key.position})
    if key.value == "<<":
        message = "Merge keys (`<<`) are not supported."
        return here.error(path, message, "Write the values out.")
    first = positions.of_key(path).line
    return here.error(
        path,
        f"Key `{key.value}` is written twice: lines {first} and {key.position.line}.",
        "Keep one of them.",
    )


def _place(event: yaml.Event) -> Position:
    mark = event.start_mark
    if mark is None:
        return Position()
    return Position(mark.line + 1, mark.column + 1)
