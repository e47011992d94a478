"""The base of all models of the language, and the types that they share.

An entry is frozen, is built from YAML values, and documents each of its keys in a
docstring below it (`descriptions.py`): the reference and the JSON schema are generated
from these.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Entry(BaseModel):
    """Common settings. Unknown keys are ignored here; the loader warns about them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _no_address(value: str | None) -> str | None:
    return None if value == "dynamic" else value


LowerCase = Annotated[str, AfterValidator(str.lower)]
# `dynamic` and no address mean the same: a DHCP server assigns it.
Address = Annotated[str | None, AfterValidator(_no_address)]


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
    """Return the same rule for the JSON schema."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [k]} for k in keys]})
