"""The language as a JSON schema, for completion and checks in editors.

Generated from the models of `written.py` and the table of `keys.py`, which the loader
reads, too. The command line prints it, the web serves it. It covers the form only;
whether a bridge or a file exists is left to the checks.
"""

from collections.abc import Mapping
from functools import cache

from pydantic import JsonValue

from orchestration.compose.language.descriptions import descriptions
from orchestration.compose.language.keys import PLACES, Place
from orchestration.compose.language.written import Document

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "kvm-compose.yaml"

Schema = dict[str, JsonValue]


@cache
def language_schema() -> Mapping[str, JsonValue]:
    """Return the JSON schema of a whole kvm-compose.yaml."""
    schema: Schema = Document.model_json_schema()
    places = {place.model.__name__: place for place in PLACES.values()}
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)  # nosec B101  # noqa: S101 - pydantic's shape
    for name, definition in definitions.items():
        if isinstance(definition, dict) and name in places:
            _finish(definition, places[name])
    _finish(schema, PLACES[""])
    return {"$schema": DIALECT, **schema, "title": TITLE}


def _finish(schema: Schema, place: Place) -> None:
    """Close a map against unknown keys, and name those that have no effect."""
    properties = schema.setdefault("properties", {})
    assert isinstance(properties, dict)  # nosec B101  # noqa: S101 - pydantic's shape
    for value in properties.values():
        if isinstance(value, dict):
            _simplify(value)
    fields = place.model.model_fields
    for name, words in descriptions(place.model).items():
        value = properties[fields[name].alias or name]
        assert isinstance(value, dict)  # nosec B101  # noqa: S101 - pydantic's shape
        value["description"] = words
    for key in (*place.ignored, *place.warned):
        properties[key] = {"deprecated": True, "description": "It has no effect."}
    schema.pop("title", None)
    schema["additionalProperties"] = False


def _simplify(value: Schema) -> None:
    """Remove generated titles, and defaults that mean none."""
    value.pop("title", None)
    if value.get("type") == "object" and value.get("default") == []:
        value["default"] = {}
    if value.get("default", "") is None:
        del value["default"]
