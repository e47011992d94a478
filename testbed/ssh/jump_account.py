"""The account on hosts through which users reach guests, as the hosts' rows have it."""

from pydantic import BaseModel

ACCOUNT = "testbed-jump"


class Jump(BaseModel):
    """Whether a host has the account, and it does what it should, as last looked at.

    `host_key` is main's own: main is not reached over SSH, so its row has none pinned.
    """

    is_there: bool = False
    works: bool = False
    host_key: str = ""
