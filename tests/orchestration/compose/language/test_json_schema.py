"""Editors get the language as it is read."""

import json
from pathlib import Path

from orchestration.compose.language.json_schema import language_schema
from orchestration.compose.language.keys import PLACES

DEFINITIONS = language_schema()["$defs"]


def test_every_key_of_every_place_is_in_the_schema() -> None:
    for name, place in PLACES.items():
        schema = DEFINITIONS[place.model.__name__] if name else language_schema()

        assert set(schema["properties"]) == place.known - set(place.refused), name
        assert schema["additionalProperties"] is False
        for key in place.keys:
            assert {"description", "$ref"} & set(schema["properties"][key]), (name, key)


def test_required_keys_and_choices_are_in_the_schema() -> None:
    assert DEFINITIONS["WrittenLibvirt"]["required"] == [
        "cpus",
        "memory_mb",
        "libvirt_type",
    ]
    kinds = [choice["required"] for choice in DEFINITIONS["WrittenMachine"]["oneOf"]]
    assert kinds == [["libvirt"], ["docker"], ["android"], ["avd"]]
    assert DEFINITIONS["NatType"]["enum"] == ["snat", "dnat_and_snat"]
    assert DEFINITIONS["Network"]["properties"]["bridge_connections"] == {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "default": {},
        "description": "Links from bridge to bridge; each may be the left side once.",
    }


def test_keys_without_effect_are_deprecated() -> None:
    properties = DEFINITIONS["WrittenLibvirt"]["properties"]

    deprecated = {key for key, value in properties.items() if value.get("deprecated")}

    assert deprecated == {
        *("extended_graphics_support", "hostname", "ssh_address", "tcp_tty_port"),
        *("static_ip", "is_clone_of"),
    }


def test_schema_is_json_and_points_nowhere_else() -> None:
    text = json.dumps(language_schema())

    references = {
        part.split('"')[0] for part in text.replace('"$ref": "', "\0").split("\0")[1:]
    }
    assert {Path(ref).name for ref in references} <= set(DEFINITIONS)


def test_oldest_places_of_keys_are_read_and_not_offered() -> None:
    properties = language_schema()["properties"]

    offered = {key for key, value in properties.items() if not value.get("deprecated")}

    assert offered == {"machines", "network", "testbed_options"}
    assert "bridges" in properties
