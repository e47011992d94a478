"""The paths of testbeds in the API, written as the server writes them."""

import re
from urllib.parse import quote

_SPECIAL = re.compile(r"[^A-Za-z0-9_.@+-]")


def path_of(testbed: str, rest: str = "") -> str:
    """Return the API's path of `alice/lab`, and of what is below it.

    The account is written as `testbed/access/addresses.py` says.
    """
    account, _, name = testbed.rpartition("/")
    below = f"/{rest}" if rest else ""
    return f"/testbeds/{account_of(account)}/{quote(name)}{below}"


def account_of(account: str) -> str:
    """Return an account as a part of a path."""
    if not account.strip(".") or account == "new":
        return _escaped(account)
    return _SPECIAL.sub(lambda sign: _escaped(sign[0]), account)


def _escaped(text: str) -> str:
    return "".join(f"~{byte:02X}" for byte in text.encode())
