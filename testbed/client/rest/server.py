"""One server and one token: requests, pages of lists, files, and the run's websocket.

A request that makes something carries a key, so that it is sent again after a broken
connection and done once. Certificates are verified; proxies are those of the
environment. Driven by one thread.
"""

import json
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import httpx

from testbed.client.rest.problems import (
    OTHER_SHAPE,
    Declined,
    ServerProblem,
    VersionsDiffer,
    problem_of,
)
from testbed.client.rest.trust import trusted, unreachable, unusable_proxy
from testbed.client.rest.versions import require_same
from testbed.client.rest.whole import too_long, whole
from testbed.client.watching import Frame

if TYPE_CHECKING:  # websockets are opened by few commands, and take time to import
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import ClientConnection

API = "/api/v1"
# Asked before an act that erases something, with the server's list.
Agrees = Callable[[Frame], bool]
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
# A request without effect, or with a key, is sent so often.
_TRIES = 3
# The list of what dies may change between two answers, but not for long.
_CONFIRMATIONS = 5
_MOST_REDIRECTS = 20
_PER_PAGE = 200
# Far above what a lab has of anything that is listed.
_MOST_ITEMS = 100_000
# Of a token's limit of requests in a minute.
_LONGEST_WAIT_S = 90
_WAITS = 5


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that was created: its number and its ordered instructions.

    When it `waits` in the queue, the server will drive it.
    """

    number: int
    instructions: tuple[Frame, ...]
    waits: bool = False

    @property
    def to_send(self) -> list[Frame]:
        """The instructions that a client offers; of one that waits only the first."""
        return list(self.instructions[:1] if self.waits else self.instructions)


def declines(erases: Frame) -> bool:
    """Agree to no act that erases something."""
    return False


class Server:
    """A server at `url`, which has no path, as the user of a token."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        agrees: Agrees = declines,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._agrees = agrees
        self._sleep = sleep
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._trusted = trusted()
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers={"Accept": "application/json"} | self._headers,
                timeout=_TIMEOUT,
                verify=self._trusted,
                transport=transport,
            )
        except (ImportError, ValueError, httpx.InvalidURL) as exc:  # of a proxy
            raise unusable_proxy(exc) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def get(self, path: str, **query: str | int) -> Frame:
        """Return a JSON object. Raises: ServerProblem, ServerUnreachable."""
        return self.send("GET", path, query=query)

    def pages(self, path: str, **query: str | int) -> Iterator[Frame]:
        """Yield the items of a list, page by page. Raises: as `get`, TestbedError."""
        seen, page = 0, 1
        while True:
            body = self.get(path, **query, page=page, per_page=_PER_PAGE)
            yield from body["items"]
            seen, page = seen + len(body["items"]), page + 1
            if not body["items"] or seen >= body["count"]:
                return
            if seen >= _MOST_ITEMS or page > _MOST_ITEMS // _PER_PAGE:
                raise too_long(f"{self.url}{API}{path}")

    def send(
        self,
        method: str,
        path: str,
        wish: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        is_keyed: bool = False,
    ) -> Frame:
        """Send a request; return the JSON object of its answer, if any.

        Raises: ServerProblem, ServerUnreachable, VersionsDiffer.
        """
        headers = {"Idempotency-Key": str(uuid.uuid4())} if is_keyed else {}
        tries = _TRIES if is_keyed or method == "GET" else 1
        request = self._http.build_request(
            method, f"{API}{path}", json=wish, params=query, headers=headers
        )
        answer = self._sent(request, tries)
        found = _json(answer) if answer.content else {}
        if not isinstance(found, dict):
            raise problem_of(answer.status_code, found, server=self.url)
        return found

    def start(self, path: str, wish: Mapping[str, object]) -> StartedRun:
        """Start a run; return its plan. Raises: as `send`; Declined."""
        body = self._agreed(
            lambda confirm: self.send("POST", path, {**wish, **confirm}, is_keyed=True)
        )
        waits = body["status"] == "waiting"
        return StartedRun(int(body["run"]), tuple(body["instructions"]), waits)

    def change(self, method: str, path: str, wish: Mapping[str, object]) -> Frame:
        """Change what may erase something. Raises: as `send`; Declined."""
        return self._agreed(
            lambda confirm: self.send(method, path, {**wish, **confirm})
        )

    def delete(self, path: str) -> Frame:
        """Delete something; return the answer. Raises: as `send`; Declined."""
        return self._agreed(lambda confirm: self.send("DELETE", path, query=confirm))

    def text(self, path: str, **query: str) -> Iterator[str]:
        """Yield a long answer part by part, as fast as it is taken. Raises: as `get`."""
        request = self._http.build_request("GET", f"{API}{path}", params=query)
        with self._streamed(request) as answer:
            yield from answer.iter_text()

    def pieces(self, path: str) -> Generator[bytes, None, None]:
        """Yield the bytes of a long answer, as fast as they are taken. Raises: as `get`."""
        request = self._http.build_request("GET", f"{API}{path}")
        with self._streamed(request) as answer:
            yield from answer.iter_bytes()

    def download(self, path: str, to: BinaryIO) -> str:
        """Write a file piece by piece; return its tag. Raises: as `get`; OSError."""
        request = self._http.build_request("GET", f"{API}{path}")
        with self._streamed(request) as answer:
            for piece in answer.iter_bytes():
                to.write(piece)
            return str(answer.headers.get("ETag", "")).strip('"')

    def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Iterable[bytes] = (),
    ) -> Mapping[str, str]:
        """Send pieces with headers; return those of the answer. Raises: as `get`.

        The pieces may be asked for again.
        """
        request = self._http.build_request(
            method, f"{API}{path}", content=data or None, headers=headers
        )
        return self._sent(request, 1).headers

    def save(self, path: str, data: bytes, *, seen: str) -> str:
        """Save a file in place of the one with the tag `seen`, or a new one with "".

        Return its tag. Raises: as `get`; StaleCopy when another one is there.
        """
        headers = {"If-Match": f'"{seen}"'} if seen else {"If-None-Match": "*"}
        request = self._http.build_request(
            "PUT", f"{API}{path}", content=data, headers=headers
        )
        return str(self._sent(request, 1).json()["etag"]).strip('"')

    def require_version(self) -> None:
        """Compare the versions of the API. Raises: VersionsDiffer, as `get`."""
        request = self._http.build_request("GET", f"{API}/openapi.json")
        try:
            answer = self._answered(request, _TRIES)
            found = answer.json()["info"]["version"]
        except OTHER_SHAPE as exc:
            raise VersionsDiffer(
                f"{self.url} is no testbed server with a REST API.",
                hint="Compare the address with that in the browser.",
            ) from exc
        require_same(str(found), self.url)

    def events(self, number: int) -> "AbstractContextManager[ClientConnection]":
        """Open the websocket of a run. Raises: OSError, WebSocketException."""
        return self._socket(f"/ws/orchestration/{number}/")

    @contextmanager
    def console(
        self, path: str, mode: str, *, typing: bool, size: tuple[int, int]
    ) -> "Iterator[ClientConnection]":
        """Open a guest's console, `serial` or `shell`, with columns and rows.

        Raises: as `send`; OSError, WebSocketException.
        """
        ticket = self.send("POST", path, {"mode": mode, "typing": typing})["ticket"]
        opens = {"type": "open", "ticket": ticket, "columns": size[0], "rows": size[1]}
        with self._socket("/ws/console/") as socket:
            socket.send(json.dumps(opens))
            yield socket

    def _socket(self, path: str) -> "AbstractContextManager[ClientConnection]":
        sockets = import_module("testbed.client.rest.sockets")
        found: AbstractContextManager[ClientConnection] = sockets.opened(
            self.url,
            path,
            headers=self._headers,
            trusted=self._trusted,
            timeout_s=_TIMEOUT.read,
        )
        return found

    def _agreed(self, send: Callable[[dict[str, str]], Frame]) -> Frame:
        """Send what may erase data; again with its token when the user agrees."""
        confirm: dict[str, str] = {}
        for left in reversed(range(_CONFIRMATIONS)):
            try:
                return send(confirm)
            except _Erasing as exc:
                if not left or not self._agrees(exc.erases):
                    raise exc.declined from exc
                confirm = {"confirm": exc.erases["confirm"]}
        raise AssertionError

    def _sent(self, request: httpx.Request, tries: int) -> httpx.Response:
        """Send a request and return a good answer. Raises: as `send`."""
        answer = self._answered(request, tries)
        if not answer.is_success:
            raise self._problem(answer)
        return answer

    def _opened(self, request: httpx.Request) -> httpx.Response:
        """Return an open answer, where redirects lead. Raises: httpx.RequestError.

        httpx itself would read the body of each redirect, to whatever end.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._http.send(request, stream=True)
            if answer.next_request is None:
                return answer
            answer.close()
            request = answer.next_request  # without the token on another server
        raise httpx.TooManyRedirects("There are too many redirects.", request=request)

    def _answered(self, request: httpx.Request, tries: int) -> httpx.Response:
        """Return any answer; one that names a time to wait is waited for."""
        waits = _WAITS
        while True:
            tries -= 1
            try:
                answer = whole(self._opened(request))
            except httpx.RequestError as exc:
                if not tries or isinstance(exc, httpx.ConnectError):
                    raise unreachable(self.url, exc) from exc
                continue
            wait_s = _retry_after_s(answer)
            if not waits or wait_s is None:
                return answer
            waits -= 1
            tries += 1
            self._sleep(wait_s)

    @contextmanager
    def _streamed(self, request: httpx.Request) -> Iterator[httpx.Response]:
        try:
            answer = self._opened(request)
        except httpx.RequestError as exc:
            raise unreachable(self.url, exc) from exc
        try:
            if not answer.is_success:
                raise self._problem(whole(answer))
            yield answer
        except httpx.RequestError as exc:
            raise unreachable(self.url, exc) from exc
        finally:
            answer.close()

    def _problem(self, answer: httpx.Response) -> Exception:
        """Return the exception of a refusal; first of one by another version."""
        body = _json(answer)
        status = answer.status_code
        problem = problem_of(status, body, server=self.url)
        if status == _PRECONDITION_REQUIRED and "erases" in problem.body:
            return _Erasing(problem)
        is_unknown_key = "errors" in problem.body
        if is_unknown_key or status in _OF_OTHER_VERSIONS:
            self.require_version()
        return problem


class _Erasing(Exception):
    """An act erases something; `erases` is the server's list."""

    def __init__(self, problem: ServerProblem) -> None:
        super().__init__(problem.message)
        self._problem = problem
        self.erases: Frame = problem.body["erases"]

    @property
    def declined(self) -> Declined:
        """The exception of a user who does not agree."""
        return Declined(
            self._problem.message,
            hint="Nothing was done. Add --yes to erase this.",
            status=_PRECONDITION_REQUIRED,
            body=self._problem.body,
        )


_PRECONDITION_REQUIRED = 428
_OF_OTHER_VERSIONS = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def refused_socket(url: str, exc: "InvalidStatus") -> Exception:
    """Return the exception of a websocket that the server did not open."""
    status = exc.response.status_code
    return problem_of(status, {"detail": f"{url} does not show this run."}, server=url)


def _retry_after_s(answer: httpx.Response) -> float | None:
    """Return for how long the server wants no request; None where it wants none."""
    text = answer.headers.get("Retry-After", "")
    if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS or not text.isdecimal():
        return None
    return float(text) if int(text) <= _LONGEST_WAIT_S else None


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None
