"""The tables of docs/yaml.md, made from the models, so that neither forgets the other.

Each place of the language is marked in the reference with `<!-- keys: PLACE -->`; below
it stands the table. `pytest --regenerate` writes the tables anew.
"""

import re
from enum import StrEnum
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from orchestration.spec.entry import Entry
from orchestration.spec.language import PLACES

TABLE = re.compile(r"<!-- keys: (?P<place>\S*) -->\n\n(?:\|[^\n]*\n)*")
HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"
MAP_OF_TEXT = "map of text to text"
SCRIPTS = ("setup_script", "run_script", "shared_setup", "script")
PATHS = frozenset((*SCRIPTS, "context", "path", "env_file", "source"))


def with_tables(text: str) -> str:
    """Return the reference with each marked table made anew."""
    return TABLE.sub(
        lambda m: f"<!-- keys: {m['place']} -->\n\n{table(m['place'])}", text
    )


def table(place: str) -> str:
    """Return the table of one place; `top` is the document itself."""
    model = PLACES["" if place == "top" else place].model
    rows = [
        f"| `{field.alias or name}` | {_type(name, field)} | {_default(field)} "
        f"| {' '.join((field.description or '').split())} |\n"
        for name, field in model.model_fields.items()
    ]
    return HEAD + "".join(rows)


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
