"""The paths of testbeds in the API, written as the server writes them."""

import re
from urllib.parse import quote

_SPECIAL = re.compile(r"[^A-Za-z0-9_.@+-]")


def path_of(testbed: str, rest: str = "") -> str:
    """Return the API's path of `alice/lab`, and of what is below it.

    The account is written as `testbed/access/addresses.py` says.
    """
    account, _, name = testbed.rpartition("/")
    written = _SPECIAL.sub(lambda sign: _escaped(sign[0]), account)
    if not account.strip(".") or account == "new":
        written = _escaped(account)
    below = f"/{rest}" if rest else ""
    return f"/testbeds/{written}/{quote(name)}{below}"


def _escaped(text: str) -> str:
    return "".join(f"~{byte:02X}" for byte in text.encode())
