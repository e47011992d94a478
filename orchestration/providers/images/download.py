"""Fetches a file over HTTP, with resume and cancel.

`base_images.py` uses it for base images and verifies them; this module verifies no
content, and only reads a publisher's list of checksums. httpx is translated here.
"""

import errno
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from orchestration.errors import ImageFailed, NotEnoughSpace
from orchestration.tls import lenient
from orchestration.transport.base import Log, OnProgress, Scope

ATTEMPTS = 3
PAUSE_S = 1.0
SUMS_LIMIT_BYTES = 4 * 1024 * 1024
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# Content must arrive as it is stored: digests are of the file, not of an encoding.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "testbed"}
_SUM = re.compile(r"\b([0-9a-f]{128}|[0-9a-f]{64})\b", re.IGNORECASE)

CheckSpace = Callable[[int], None]


def fetch(
    url: str,
    part: Path,
    *,
    scope: Scope,
    on_progress: OnProgress,
    log: Log,
    check_space: CheckSpace,
) -> bool:
    """Fetch `url` to `part`, after the bytes already there; return if it resumed.

    A broken connection is tried again. Raises: ImageFailed, NotEnoughSpace, Cancelled;
    the received bytes are kept for the next time.
    """
    resumed = False
    with httpx.Client(
        timeout=_TIMEOUT, headers=_HEADERS, follow_redirects=True, verify=_trust()
    ) as client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                transfer = _Transfer(url, part, scope, on_progress, check_space)
                resumed = transfer.run(client) or resumed
                break
            except httpx.HTTPError as exc:
                scope.check_cancelled()
                if attempt == ATTEMPTS or not _is_passing(exc):
                    raise _not_fetched(url, exc) from exc
                log(f"{_reason(exc)}; trying again.")
                scope.sleep(PAUSE_S * attempt)
            except httpx.InvalidURL as exc:
                raise _not_fetched(url, exc) from exc
            except OSError as exc:
                raise not_stored(part, exc) from exc
    return resumed


def published_sum(sums_url: str, file_name: str) -> str:
    """Return a file's checksum from its publisher's list (coreutils or BSD style).

    Raises: ImageFailed when the list cannot be read or does not name the file.
    """
    try:
        answer = httpx.get(
            sums_url,
            timeout=_TIMEOUT,
            headers=_HEADERS,
            follow_redirects=True,
            verify=_trust(),
        )
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise _not_fetched(sums_url, exc) from exc
    for line in answer.text[:SUMS_LIMIT_BYTES].splitlines():
        names = {word.strip("()*").removeprefix("./") for word in line.split()}
        found = _SUM.search(line)
        if found and file_name in names:
            return found[1].lower()
    raise ImageFailed(
        f"The list of checksums does not name {file_name}.",
        hint="Write the image's sha256 into the image catalogue.",
        detail=sums_url,
    )


def _trust() -> ssl.SSLContext:
    return lenient(httpx.create_ssl_context())


def not_stored(part: Path, error: OSError) -> Exception:
    """Translate a failed write of an image."""
    name = part.name.removesuffix(".part")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotEnoughSpace(
            f"The file system of {part.parent} became full while {name} was written.",
            hint="Make room there, then start again: it goes on where it stopped.",
        )
    return ImageFailed(
        f"The image {name} could not be written to {part.parent}.",
        hint="Check the folder's owner and permissions.",
        detail=str(error),
    )


class _Transfer:
    """One request, which brings as much of the file as it can."""

    def __init__(
        self,
        url: str,
        part: Path,
        scope: Scope,
        on_progress: OnProgress,
        check_space: CheckSpace,
    ) -> None:
        self._url = url
        self._part = part
        self._scope = scope
        self._on_progress = on_progress
        self._check_space = check_space

    def run(self, client: httpx.Client) -> bool:
        """Bring the file to its end; return whether it began in the middle."""
        have = self._part.stat().st_size if self._part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with client.stream("GET", self._url, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                if response.headers.get("Content-Range") == f"bytes */{have}":
                    return True
                self._part.unlink()
                raise httpx.ReadError("The server does not go on from there")
            response.raise_for_status()
            start = _start_of(response)
            if start != have:
                start = 0
            self._receive(response, start)
            return start > 0

    def _receive(self, response: httpx.Response, start: int) -> None:
        if start == 0 and response.status_code == httpx.codes.PARTIAL_CONTENT:
            self._part.unlink(missing_ok=True)
            raise httpx.ReadError("The server sent another part than it was asked for")
        missing = int(response.headers.get("Content-Length", 0))
        total = start + missing if missing else 0
        self._check_space(missing)
        mode = "ab" if start else "wb"
        with self._part.open(mode) as file, _stoppable(response, self._scope):
            done = start
            self._on_progress(done, total)
            # In pieces as they come: a larger chunk would be lost with its connection.
            for chunk in response.iter_raw():
                self._scope.check_cancelled()
                done += file.write(chunk)
                self._on_progress(done, total)
            self._scope.check_cancelled()
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _stoppable(response: httpx.Response, scope: Scope) -> Iterator[None]:
    """End a read that waits for a silent server as soon as the run is cancelled."""
    stream = response.extensions.get("network_stream")
    wire = stream.get_extra_info("socket") if stream is not None else None
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if scope.stop.wait(0.05):
                if isinstance(wire, socket.socket):
                    with suppress(OSError):
                        wire.shutdown(socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, name="fetch-stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _start_of(response: httpx.Response) -> int:
    """Return the offset of the response: 0 when the server sends the whole file."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _is_passing(error: httpx.HTTPError) -> bool:
    """Return whether a retry may help: not after a 404."""
    if isinstance(error, httpx.HTTPStatusError):
        code = error.response.status_code
        return code >= 500 or code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        answer = error.response
        return f"The server answered {answer.status_code} {answer.reason_phrase}"
    return str(error) or type(error).__name__


def _not_fetched(url: str, error: Exception) -> ImageFailed:
    host = url.split("/")[2] if url.count("/") > 1 else url
    return ImageFailed(
        f"The image could not be fetched from {host}: {_reason(error)}.",
        hint="Check the address in the image catalogue and this machine's network.",
        detail=url,
        retryable=isinstance(error, httpx.HTTPError) and _is_passing(error),
    )
