"""The parts of which bodies of requests are made: unknown keys and NUL are refused."""

from typing import Annotated

from ninja import Field
from pydantic import BaseModel, ConfigDict

MOST_ID = 2**63 - 1
MOST_WORDS = 1_000
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
# A text of some words, such as a name: services say which of them are possible.
Words = Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=MOST_WORDS)]
Id = Annotated[int, Field(ge=0, le=MOST_ID)]


class Wish(BaseModel):
    """A body of a request."""

    model_config = ConfigDict(extra="forbid")
