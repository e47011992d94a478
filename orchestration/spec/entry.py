"""The base of all models of the language, and the words that they share.

An entry is frozen, is built from YAML values, and carries the sentence about each of
its keys as a docstring below it: the reference and the JSON schema are made of these.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Entry(BaseModel):
    """Common settings. Unknown keys are ignored here; the loader warns about them."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True
    )


def _no_address(value: str | None) -> str | None:
    return None if value == "dynamic" else value


LowerCase = Annotated[str, AfterValidator(str.lower)]
# `dynamic` and no address at all mean the same: somebody else hands it out.
Address = Annotated[str | None, AfterValidator(_no_address)]
