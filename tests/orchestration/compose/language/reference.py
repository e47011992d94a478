"""The tables of docs/yaml.md, made from the models, so that neither forgets the other.

Each place of the language is marked in the reference with `<!-- keys: PLACE -->`; below
it stands the table. Examples of values come from real files, errors from the checks.
`pytest --regenerate` writes the tables anew.
"""

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from orchestration.compose.check import check
from orchestration.compose.language.descriptions import descriptions
from orchestration.compose.language.entry import Entry
from orchestration.compose.language.keys import PLACES, place_of
from orchestration.compose.reading.document import read_document
from orchestration.compose.reading.positions import Path as Place
from tests.golden import DATA
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

FILES = (
    *sorted((DATA.parent.parent / "examples").glob("*/kvm-compose.yaml")),
    *sorted((DATA / "testbeds" / "whole").glob("*.yaml")),
)
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

TABLE = re.compile(r"<!-- keys: (?P<place>\S*) -->\n\n(?:\|[^\n]*\n)*")
TYPES = re.compile(r"<!-- types -->\n\n(?:\|[^\n]*\n)*")
HEAD = "| key | type | default | example | meaning |\n|---|---|---|---|---|\n"
TYPE_HEAD = "| type | wrong | what is said |\n|---|---|---|\n"
RIGHT = """\
machines:
  - name: web
    interfaces: []
    libvirt:
      cpus: 1
      memory_mb: 64
      libvirt_type:
        existing_disk:
          path: disk.img
          driver_type: raw
          readonly: false
  - name: box
    interfaces: []
    docker:
      image: nginx
      environment: {A: "1"}
network: {}
"""
# For each type: a line of the right file, and what is written instead.
WRONG = {
    "text": ("image: nginx", "image: 1"),
    "whole number": ("cpus: 1", 'cpus: "2"'),
    "truth value": ("readonly: false", "readonly: maybe"),
    "one of several words": ("driver_type: raw", "driver_type: vmdk"),
    "path": ("path: disk.img", "path: ../disk.img"),
    "list": ("interfaces: []", "interfaces: br0"),
    "map": ("network: {}", "network: []"),
    "map of text to text": ('environment: {A: "1"}', "environment: {A: 1}"),
    "required": ("memory_mb: 64", ""),
    "any key twice": ("cpus: 1", "cpus: 1\n      cpus: 1"),
    "no key of the language": ("memory_mb: 64", "memory_mb: 64\n      memory: 64"),
}
SHOWN_LENGTH = 44
MAP_OF_TEXT = "map of text to text"
SCRIPTS = ("setup_script", "run_script", "shared_setup", "script")
PATHS = frozenset((*SCRIPTS, "context", "path", "env_file", "source"))


def with_tables(text: str) -> str:
    """Return the reference with each marked table made anew."""
    text = TYPES.sub(lambda _: f"<!-- types -->\n\n{types_table()}", text)
    return TABLE.sub(
        lambda m: f"<!-- keys: {m['place']} -->\n\n{table(m['place'])}", text
    )


def table(place: str) -> str:
    """Return the table of one place; `top` is the document itself."""
    name = "" if place == "top" else place
    model = PLACES[name].model
    words = descriptions(model)
    rows = [
        f"| `{field.alias or key}` | {_type(key, field)} | {_default(field)} "
        f"| `{example(name, field.alias or key)}` "
        f"| {' '.join(words.get(key, '').split())} |\n"
        for key, field in model.model_fields.items()
    ]
    return HEAD + "".join(rows)


def types_table() -> str:
    """Return what is said about a value of each type that is none."""
    files = FakeFiles(files={"disk.img": b"QFI\xfb"})
    rows = []
    for kind, (right, wrong) in WRONG.items():
        text = RIGHT.replace(right, wrong, 1)
        found = check(text, files=files, catalogue=catalogue_with_test_guest()).findings
        hint = f" ({found[0].hint})" if found[0].hint else ""
        said = f"{found[0].severity}: {found[0].message}{hint}"
        lines = [f"`{line.strip()}`" for line in wrong.splitlines()]
        shown = ", ".join(lines) or f"no `{right.partition(':')[0]}`"
        rows.append(f"| {kind} | {shown} | {said} |\n")
    return TYPE_HEAD + "".join(rows)


def example(place: str, key: str) -> str:
    """Return a value that a key has in a real file, in one short line."""
    value = _examples()[place, key]
    shown = _flow(value, depth=2)
    if len(shown) > SHOWN_LENGTH:
        shown = _flow(value, depth=1)
    return f"{key}: {shown}"


@cache
def _examples() -> Mapping[tuple[str, str], object]:
    """Return the first value of each key in the examples, then in the whole language."""
    names = {id(found): name for name, found in PLACES.items()}
    values: dict[tuple[str, str], object] = {}
    for file in FILES:
        for at, key, value in _entries(read_document(file.read_bytes()).data):
            place = place_of(at)
            if place is not None:
                values.setdefault((names[id(place)], key), value)
    return values


def _entries(value: object, at: Place = ()) -> Iterator[tuple[Place, str, object]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield at, key, below
            yield from _entries(below, (*at, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _entries(below, (*at, index))


def _flow(value: object, *, depth: int) -> str:
    """Write a value in YAML's flow style; what is deeper or more than one is cut."""
    if isinstance(value, dict):
        if depth == 0 and value:
            return f"{{{ELLIPSIS}}}"
        parts = [f"{k}: {_flow(v, depth=depth - 1)}" for k, v in value.items()]
        return f"{{{', '.join(_cut(parts))}}}"
    if isinstance(value, list):
        if depth == 0 and value:
            return f"[{ELLIPSIS}]"
        return f"[{', '.join(_cut([_flow(v, depth=depth - 1) for v in value]))}]"
    if isinstance(value, str):
        is_plain = read_document(f"a: {value}\n").data == {"a": value}
        is_one_line = not re.search(r"[{}\[\],]", value)
        return value if is_plain and is_one_line else json.dumps(value)
    return json.dumps(value)


def _cut(parts: list[str]) -> list[str]:
    return parts if len(parts) <= 2 else [*parts[:2], ELLIPSIS]


def _type(name: str, field: FieldInfo) -> str:
    if name in PATHS:
        return "path"
    return " or ".join(dict.fromkeys(_kinds(field.annotation)))


def _kinds(annotation: object) -> list[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [f"`{word.value}`" for word in annotation]
    if isinstance(annotation, type) and issubclass(annotation, Entry):
        return ["map"]
    if origin is Literal:
        return [f"`{word}`" for word in arguments]
    if origin is tuple:
        is_pairs = get_origin(arguments[0]) is tuple
        return [MAP_OF_TEXT if is_pairs else "list"]
    if origin is dict:
        return [MAP_OF_TEXT if arguments[1] is str else "map by name"]
    names = {str: "text", int: "whole number", bool: "truth value"}
    if annotation in names:
        return [names[annotation]]
    return [kind for part in arguments for kind in _kinds(part)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        return "`{}`"
    value = field.default
    if value is None:
        return "\N{EN DASH}"
    if value == ():
        is_map = _kinds(field.annotation) == [MAP_OF_TEXT]
        return "`{}`" if is_map else "`[]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"
