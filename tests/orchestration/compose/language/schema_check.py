"""Reads the JSON schema as an editor does: where a document does not fit, and why.

Knows the keywords that our schema uses and refuses any other, so that a new one is not
silently believed. Editors complete and underline from the same keywords.
"""

from collections.abc import Iterator, Mapping
from typing import cast

Schema = Mapping[str, object]
SILENT = {"$defs", "$schema", "title", "description", "default", "deprecated"}
SILENT |= {"properties", "additionalProperties", "required", "discriminator"}
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def misfits(value: object, schema: Schema, root: Schema, at: str = "") -> list[str]:
    """Return a line for each place where a value does not fit a schema."""
    return list(_misfits(value, schema, root, at))


def _misfits(value: object, schema: Schema, root: Schema, at: str) -> Iterator[str]:
    for keyword, wanted in schema.items():
        if keyword == "$ref":
            yield from _misfits(value, _found(str(wanted), root), root, at)
        elif keyword in ("anyOf", "oneOf"):
            choices = cast(list[Schema], wanted)
            fits = [not misfits(value, choice, root) for choice in choices]
            if not any(fits) or (keyword == "oneOf" and sum(fits) > 1):
                yield f"{at}: {sum(fits)} choices fit"
        elif not _fits(keyword, wanted, value):
            yield f"{at}: not {keyword} {wanted}"
    if isinstance(value, dict):
        yield from _keys(value, schema, root, at)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _misfits(
                item, cast(Schema, schema["items"]), root, f"{at}[{index}]"
            )


def _fits(keyword: str, wanted: object, value: object) -> bool:
    if keyword == "type":
        is_truth = isinstance(value, bool) and wanted != "boolean"
        return isinstance(value, KINDS[str(wanted)]) and not is_truth
    if keyword == "enum":
        return value in cast(list[object], wanted)
    if keyword == "const":
        return value == wanted
    if keyword == "minimum":
        return not isinstance(value, int) or value >= cast(int, wanted)
    if keyword == "maximum":
        return not isinstance(value, int) or value <= cast(int, wanted)
    if keyword == "items":
        return True
    assert keyword in SILENT, keyword
    return True


def _keys(
    value: dict[str, object], schema: Schema, root: Schema, at: str
) -> Iterator[str]:
    known = cast(Mapping[str, Schema], schema.get("properties", {}))
    rest = schema.get("additionalProperties", True)
    for key in cast(list[str], schema.get("required", [])):
        if key not in value:
            yield f"{at}: {key} is missing"
    for key, below in value.items():
        if key in known:
            yield from _misfits(below, known[key], root, f"{at}.{key}")
        elif isinstance(rest, dict):
            yield from _misfits(below, rest, root, f"{at}.{key}")
        elif rest is False:
            yield f"{at}: {key} is unknown"


def _found(reference: str, root: Schema) -> Schema:
    name = reference.removeprefix("#/$defs/")
    return cast(Mapping[str, Schema], root["$defs"])[name]
