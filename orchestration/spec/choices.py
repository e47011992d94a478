"""Maps in which exactly one of several keys must stand: the rule, for both readers.

`exactly_one` gives people the sentence, `one_of` tells editors the same in the JSON
schema. Used by the models of `written.py` and `ovn.py`.
"""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

Model = TypeVar("Model", bound=BaseModel)


def exactly_one(*keys: str) -> Callable[[Model], Model]:
    """Build a model's rule that exactly one of the keys has a value."""

    def check(model: Model) -> Model:
        given = [key for key in keys if getattr(model, key) is not None]
        if len(given) == 1:
            return model
        names = ", ".join(f"`{key}`" for key in keys)
        found = " and ".join(f"`{key}`" for key in given) or "none of them"
        raise PydanticCustomError(
            "exactly_one",
            "Exactly one of {names} must stand here; there is {found}",
            {"names": names, "found": found},
        )

    return check


def one_of(*keys: str) -> ConfigDict:
    """Say the same in the JSON schema."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [k]} for k in keys]})
