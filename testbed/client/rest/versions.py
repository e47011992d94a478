"""The versions of the API that client and server speak, and which of them is too old."""

import re

from testbed.client.rest.problems import VersionsDiffer

# Of the API's document that this client was written for. A server with a smaller second
# number lacks operations that the client uses.
VERSION = (3, 0)


def require_same(found: str, url: str) -> None:
    """Compare a server's version with this client's. Raises: VersionsDiffer."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    major, minor = (*numbers, 0, 0)[:2]
    wanted = ".".join(map(str, VERSION))
    if major > VERSION[0]:
        raise VersionsDiffer(
            f"This command line is too old: it speaks version {wanted} of the API, and "
            f"{url} {found}.",
            hint="Install the newest version of testbed.",
        )
    if (major, minor) < VERSION:
        raise VersionsDiffer(
            f"The server is too old: {url} speaks version {found} of the API, and this "
            f"command line {wanted}.",
            hint="Ask a lab admin to update the server, or install an older testbed.",
        )
