"""A signed-in user's pages without a browser: read, their forms sent, their websockets.

For tests of the pages themselves; `client.py` has what programs do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

# A busy server is slow; one that is gone refuses the connection.
TIMEOUT_S = 120.0
MAX_FRAME_BYTES = 64 * 1024 * 1024


class PageRefused(Exception):
    """A page or form was not answered as it should be; the text says how."""


class Pages:
    """A session of one user at one server. Raises: PageRefused, httpx.HTTPError."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT_S)
        self.http.get("/login/").raise_for_status()
        words = {"username": name, "password": password}
        answer = self.http.post("/login/", data=words, headers=self._token())
        if answer.status_code != httpx.codes.FOUND:
            raise PageRefused(f"{name} is not signed in: {answer.status_code}.")

    def close(self) -> None:
        """Close the kept connections."""
        self.http.close()

    def read(self, path: str, *, headers: dict[str, str] | None = None) -> str:
        """Return a page's HTML, or with htmx's headers a part."""
        answer = self.http.get(path, headers=headers)
        if answer.status_code != httpx.codes.OK:
            raise PageRefused(f"{path} answers {answer.status_code}.")
        return answer.text

    def send(self, path: str, form: dict[str, str]) -> str:
        """Send a form, and agree to what it erases; return where it leads."""
        answer = self._post(path, form)
        if answer.status_code == httpx.codes.PRECONDITION_REQUIRED:
            confirm = answer.json()["erases"]["confirm"]
            answer = self._post(path, form | {"confirm": confirm})
        if answer.status_code != httpx.codes.FOUND:
            words = answer.text[:2000]
            raise PageRefused(f"{path} answers {answer.status_code}: {words}")
        return answer.headers["location"]

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[str]]:
        """Yield a long answer part by part, as fast as it is taken."""
        with self.http.stream("GET", path) as answer:
            answer.raise_for_status()
            yield answer.iter_text()

    @contextmanager
    def socket(self, path: str) -> Iterator[ClientConnection]:
        """Open one of the pages' websockets."""
        cookies = "; ".join(f"{c.name}={c.value}" for c in self.http.cookies.jar)
        place = urlsplit(self.url)
        with connect(
            f"ws://{place.netloc}{path}",
            additional_headers={"Cookie": cookies},
            origin=Origin(f"{place.scheme}://{place.netloc}"),
            max_size=MAX_FRAME_BYTES,
            open_timeout=TIMEOUT_S,
            proxy=None,
        ) as socket:
            yield socket

    def _post(self, path: str, form: dict[str, str]) -> httpx.Response:
        headers = {"Accept": "application/json"} | self._token()
        return self.http.post(path, data=form, headers=headers)

    def _token(self) -> dict[str, str]:
        token = self.http.cookies["csrftoken"]
        return {"X-CSRFToken": token, "Referer": self.url}
