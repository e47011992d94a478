"""A process that posts one large body after the other, and prints a line for each.

Started by `web` with the server's URL, the MiB of each body, and
optionally a user: that one uploads into the testbed of the same name. Without a user
the bodies are forms for the page of logins, which the server refuses.
"""

import sys

import httpx

from tests.live.stack import PASSWORD

MIB = 1024 * 1024
TIMEOUT_S = 120


def sign_in(client: httpx.Client, name: str) -> None:
    """Sign a user in, with the page's own form."""
    client.get("/login/")
    post(client, "/login/", data={"username": name, "password": PASSWORD})


def post(client: httpx.Client, path: str, **body) -> int:
    """Post as the pages do, and return the status."""
    token = client.cookies.get("csrftoken", "")
    headers = {"X-CSRFToken": token, "Referer": str(client.base_url)}
    return client.post(path, headers=headers, **body).status_code


def main() -> None:
    """Send until the process is ended."""
    url, mib, *user = sys.argv[1:]
    content = bytes(int(mib) * MIB)
    path, wanted = "/login/", httpx.codes.REQUEST_ENTITY_TOO_LARGE
    client = httpx.Client(base_url=url, timeout=TIMEOUT_S)
    if user:
        sign_in(client, user[0])
        path, wanted = f"/testbeds/{user[0]}/files/", httpx.codes.FOUND
    while True:
        status = post(client, path, files={"uploads": ("large.bin", content)})
        if status != wanted:
            raise SystemExit(f"{path} answers {status}.")
        print("sent", flush=True)


if __name__ == "__main__":
    main()
