"""A client of the web's own pages and websocket: sign in, create, run, watch, cancel.

Used by script/demo, script/bench and the live tests; a command line can be built on
it. It follows the protocol of docs/protocol.md, imports nothing of Django, and is
driven by one thread. A broken connection is made again: the server drives the run
meanwhile, and the client follows from the last event that it saw.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from testbed.client.watching import (
    RECONNECT_FOR_S,
    Frame,
    OnFrame,
    frames,
    send,
    watch,
)

__all__ = [
    "Client",
    "Declined",
    "Frame",
    "OnFrame",
    "Refused",
    "StartedRun",
    "frames",
    "send",
]
# Asked before an act that erases something, with the server's list.
Agrees = Callable[[Frame], bool]
# A busy server is slow; a server that is gone refuses or breaks the connection.
_TIMEOUT_S = 120.0
_SPECIAL = re.compile(r"[^A-Za-z0-9_.@+-]")
_MAX_FRAME_BYTES = 64 * 1024 * 1024
_CONNECT_S = 10.0
# Where the page leads whose account needs more than the password.
SECOND_FACTOR = "/login/second-factor/"
_WANTS_JSON = {"Accept": "application/json"}
# The list of what dies may change between two answers, but not for long.
_CONFIRMATIONS = 5


class Refused(Exception):
    """The server refused; the text is its reason, `body` its JSON answer."""

    def __init__(self, reason: str, body: Frame | None = None) -> None:
        super().__init__(reason)
        self.body = body or {}


class Declined(Refused):
    """The user did not agree to what the act erases."""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that was created: its number and its ordered instructions.

    When it `waits` in the queue, the server will drive it.
    """

    number: int
    instructions: tuple[Frame, ...]
    waits: bool = False


def declines(erases: Frame) -> bool:
    """Agree to no act that erases something."""
    return False


class Client:
    """One signed-in user at one server; `base_url` has no path.

    `agrees` is asked before something is erased; without it, such acts are refused.
    """

    def __init__(self, base_url: str, *, agrees: Agrees = declines) -> None:
        self.base_url = base_url.rstrip("/")
        self._agrees = agrees
        timeout = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S)
        self._http = httpx.Client(base_url=self.base_url, timeout=timeout)

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def sign_in(self, username: str, password: str) -> None:
        """Sign in with the page's own form. Raises: Refused."""
        answer = self._post("/login/", {"username": username, "password": password})
        if answer.status_code != httpx.codes.FOUND:
            raise Refused(f"{self.base_url} does not let {username} in.")
        if answer.headers["location"] == SECOND_FACTOR:
            raise Refused(f"{username} has a second factor, which a program has not.")

    def has_testbed(self, slug: str) -> bool:
        """Return whether the user can see this testbed."""
        return self._http.get(_path(slug)).status_code == httpx.codes.OK

    def create_testbed(self, slug: str, folder: Path) -> None:
        """Upload a folder with a kvm-compose.yaml as one archive. Raises: Refused."""
        form = {"slug": slug, "source": "upload"}
        files = {"archive": ("testbed.zip", _zipped(folder), "application/zip")}
        answer = self._post("/testbeds/new/", form, files=files, headers=_WANTS_JSON)
        if answer.status_code != httpx.codes.FOUND:
            raise Refused(f"{slug} was not created: {_reason(answer)}")

    def update_files(self, slug: str, folder: Path) -> None:
        """Add a folder's files to a testbed, or replace them. Raises: Refused."""
        files = {"archive": ("files.zip", _zipped(folder), "application/zip")}
        answer = self._post(_path(slug, "files/"), {}, files=files)
        if answer.status_code != httpx.codes.FOUND:
            raise Refused(f"The files of {slug} were not taken: {answer.text[:2000]}")

    def page(self, path: str, *, headers: dict[str, str] | None = None) -> str:
        """Return a page's HTML, or with htmx's headers a part. Raises: Refused."""
        answer = self._http.get(path, headers=headers)
        if answer.status_code != httpx.codes.OK:
            raise Refused(f"{path} answers {answer.status_code}.")
        return answer.text

    def send_form(self, path: str, form: dict[str, str]) -> str:
        """Send one of the pages' forms; return where it leads. Raises: Refused."""

        def send(confirm: Frame) -> httpx.Response:
            return self._post(path, form | confirm, headers=_WANTS_JSON)

        answer = self._agreed(send)
        if answer.status_code != httpx.codes.FOUND:
            words = _reason(answer) if _body(answer) else answer.text[:2000]
            raise Refused(f"{path} answers {answer.status_code}: {words}")
        return answer.headers["location"]

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[str]]:
        """Yield a long answer part by part, as fast as it is taken. Raises: Refused."""
        with self._http.stream("GET", path) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Refused(f"{path} answers {answer.status_code}.")
            yield answer.iter_text()

    def save(self, path: str, to: Path) -> None:
        """Save a long answer as a file, part by part, or leave none. Raises: Refused."""
        # What is there and is no file, such as /dev/stdout, has no other name.
        is_stream = to.exists() and not to.is_file()
        part = to if is_stream else to.with_name(f"{to.name}.part")
        with self._http.stream("GET", path) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Refused(f"{path} answers {answer.status_code}.")
            try:
                with part.open("wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)
                if not is_stream:
                    part.replace(to)
            finally:
                if not is_stream:
                    part.unlink(missing_ok=True)

    def start(self, slug: str, command: str, **options: bool) -> StartedRun:
        """Request a run and return its plan. Raises: Refused with the reason."""
        form = {"command": command, **{k: "on" for k, on in options.items() if on}}
        return _started(self._confirmed(slug, "runs", form))

    def rename_testbed(self, slug: str, name: str) -> str:
        """Give a testbed another name; return it with its account. Raises: Refused."""
        answer = self._post(_path(slug, "name/"), {"name": name}, headers=_WANTS_JSON)
        _require_ok(_of_testbed(slug, answer))
        return str(_body(answer)["testbed"])

    def delete_testbed(self, slug: str) -> None:
        """Delete a testbed that is down. Raises: Refused."""
        _require_ok(self._confirmed(slug, "delete", {}))

    def protect(self, slug: str, guest: str = "", *, lift: bool = False) -> None:
        """Protect a testbed's data, or one guest's, or lift that. Raises: Refused."""
        form = {"guest": guest} | ({"lift": "on"} if lift else {})
        _require_ok(self._confirmed(slug, "protection", form))

    def expiry(self, slug: str, form: dict[str, str]) -> Frame:
        """Move a testbed's end, or choose what it does; return it. Raises: Refused.

        `form` has `until`, `hours`, `extend` or `at_end`, as docs/expiry.md says.
        """
        address = _path(slug, "expiry/")
        answer = self._post(address, form, headers=_WANTS_JSON)
        _require_ok(answer)
        found: Frame = _body(answer)["expiry"]
        return found

    def trash(self) -> list[Frame]:
        """Return the deleted things that can be restored. Raises: Refused."""
        answer = self._http.get("/trash/", headers=_WANTS_JSON)
        _require_ok(answer)
        return list(_body(answer)["items"])

    def restore(self, number: int) -> str:
        """Restore one of them; return a sentence about it. Raises: Refused."""
        answer = self._post(f"/trash/{number}/restore/", {}, headers=_WANTS_JSON)
        _require_ok(answer)
        return str(_body(answer)["restored"])

    def reservations(self, week: str = "") -> list[Frame]:
        """Return the reservations of a week such as 2026-W48. Raises: Refused."""
        found: list[Frame] = []
        number = pages = 1
        while number <= pages:
            asked = {"page": str(number)} | ({"week": week} if week else {})
            answer = self._http.get("/reservations/", params=asked, headers=_WANTS_JSON)
            _require_ok(answer)
            body = _body(answer)
            found += body["reservations"]
            number, pages = number + 1, body["pages"]
        return found

    def reserve(self, form: dict[str, str]) -> Frame:
        """Make a reservation and return it. Raises: Refused.

        `form` has the fields of docs/reservations.md.
        """
        answer = self._post("/reservations/new/", form, headers=_WANTS_JSON)
        _require_ok(answer)
        made: Frame = _body(answer)["reservation"]
        return made

    def cancel_reservation(self, number: int) -> Frame:
        """Cancel a reservation and return it. Raises: Refused."""
        address = f"/reservations/{number}/cancel/"
        answer = self._post(address, {}, headers=_WANTS_JSON)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise Refused(f"There is no reservation {number} of yours.")
        _require_ok(answer)
        cancelled: Frame = _body(answer)["reservation"]
        return cancelled

    def delete_file(self, slug: str, path: str) -> None:
        """Delete a file of a testbed. Raises: Refused."""
        _require_ok(self._confirmed(slug, "files/remove", {"path": path}))

    def execute(self, slug: str, wanted: Frame) -> StartedRun:
        """Request a command in guests and return its plan. Raises: Refused.

        `wanted` is the JSON of an execution, as docs/protocol.md has it.
        """
        return self._ask(slug, "exec", wanted)

    def power(self, slug: str, verb: str, selection: str) -> StartedRun:
        """Request a power command for guests and return its plan. Raises: Refused."""
        wanted = {"verb": verb, "selection": selection}
        return self._ask(slug, "power", wanted)

    def up_guests(self, slug: str, mode: str, selection: str) -> StartedRun:
        """Request Up of some guests and return its plan. Raises: Refused.

        `mode` is `up`, `recreate`, which erases their disks, or `scripts`.
        """
        return self._ask(slug, "up", {"mode": mode, "selection": selection})

    def snapshot(self, slug: str, verb: str, guest: str, **wish: object) -> StartedRun:
        """Request an act on a guest's snapshot and return its plan. Raises: Refused.

        `wish` has what docs/protocol.md names: `name`, `description`, …
        """
        return self._ask(slug, "snapshots", {"verb": verb, "guest": guest, **wish})

    def snapshots(self, slug: str) -> list[Frame]:
        """Return each guest with its snapshots, as last observed. Raises: Refused."""
        found: list[Frame] = self.all_snapshots(slug)["guests"]
        return found

    def all_snapshots(self, slug: str) -> Frame:
        """Return `guests` with their snapshots, and the `groups`. Raises: Refused."""
        path = _path(slug, "snapshots/")
        answer = self._http.get(path, headers=_WANTS_JSON)
        _require_ok(_of_testbed(slug, answer))
        return _body(answer)

    def schedule_snapshots(self, slug: str, form: dict[str, str]) -> list[Frame]:
        """Set or remove a schedule; return those of the testbed. Raises: Refused."""
        answer = self._confirmed(slug, "snapshots/schedules", form)
        _require_ok(answer)
        found: list[Frame] = _body(answer)["schedules"]
        return found

    def save_image(
        self, slug: str, guest: str, name: str, *, shut_down: bool = False
    ) -> StartedRun:
        """Request that a guest is saved as an image and return the plan. Raises: Refused.

        A guest is off meanwhile; `shut_down` does that, and starts it after.
        """
        wanted = {"guest": guest, "name": name, "shut_down": shut_down}
        return self._ask(slug, "images", wanted)

    def copy_testbed(self, slug: str, name: str) -> None:
        """Copy a testbed's YAML and files under a new name. Raises: Refused."""
        path, body = _path(slug, "copy/"), {"name": name}
        answer = self._http.post(path, json=body, headers=self._token())
        _require_ok(_of_testbed(slug, answer))

    def copy_with_disks(self, slug: str, name: str) -> StartedRun:
        """Request the same with the guests' disks; return the plan. Raises: Refused."""
        return self._ask(slug, "copy", {"name": name, "disks": True})

    def hosts(self) -> list[Frame]:
        """Return the testbed hosts, as last observed. Raises: Refused."""
        answer = self._http.get("/hosts/", headers=_WANTS_JSON)
        _require_ok(answer)
        return list(_body(answer)["hosts"])

    def activity(self) -> Frame:
        """Return the runs that go on and the last that ended. Raises: Refused."""
        answer = self._http.get("/activity/", headers=_WANTS_JSON)
        _require_ok(answer)
        return _body(answer)

    def images(self) -> list[Frame]:
        """Return the images that were saved of guests. Raises: Refused."""
        answer = self._http.get("/catalogue/", headers=_WANTS_JSON)
        _require_ok(answer)
        return list(_body(answer)["saved"])

    def delete_image(self, number: int) -> None:
        """Delete one of them. Raises: Refused."""

        def send(confirm: Frame) -> httpx.Response:
            path = f"/catalogue/{number}/delete/"
            return self._post(path, confirm, headers=_WANTS_JSON)

        _require_ok(self._agreed(send))

    def check(self, slug: str, guest: str) -> StartedRun:
        """Request a check of one guest and return its plan. Raises: Refused."""
        path = _path(slug, f"guests/{quote(guest)}/check/")
        return _started(self._http.post(path, json={}, headers=self._token()))

    def guest(self, slug: str, name: str) -> Frame:
        """Return one guest's page as JSON. Raises: Refused."""
        path = _path(slug, f"guests/{quote(name)}/")
        answer = self._http.get(path, headers={"Accept": "application/json"})
        if answer.status_code != httpx.codes.OK:
            raise Refused(f"The guest {name}: {answer.status_code}.")
        found: Frame = answer.json()
        return found

    def answers(self, number: int) -> Frame:
        """Return the folded answers of a command's run. Raises: Refused."""
        answer = self._http.get(f"/runs/{number}/answers/", headers=_WANTS_JSON)
        found = _body(answer)
        if answer.status_code != httpx.codes.OK:
            raise Refused(f"The answers of run {number}: {_reason(answer)}", found)
        return found

    def drive(self, run: StartedRun, on_frame: OnFrame) -> str:
        """Send the instructions one by one and return how the run ended.

        After a failed instruction the next is offered, too: in a teardown the server
        accepts it and continues; otherwise it answers that the run is over. Of a run
        that waits only the first is offered: the answer says so.
        """
        offered = run.instructions[:1] if run.waits else run.instructions
        return self._watch(run.number, on_frame, list(offered))

    def follow(self, number: int, on_frame: OnFrame, *, after: int = 0) -> str:
        """Receive every event of a run after `after`; return how the run ended."""
        return self._watch(number, on_frame, [], after=after)

    def run(self, slug: str, command: str, on_frame: OnFrame, **options: bool) -> str:
        """Start a command, drive it to its end, and return the run's status."""
        return self.drive(self.start(slug, command, **options), on_frame)

    @contextmanager
    def socket(self, number: int, query: str = "") -> Iterator[ClientConnection]:
        """Open the websocket of a run with this user's session."""
        with self._connected(f"/ws/orchestration/{number}/{query}") as socket:
            yield socket

    @contextmanager
    def listing(self) -> Iterator[ClientConnection]:
        """Open the websocket of the list of testbeds with this user's session."""
        with self._connected("/ws/testbeds/") as socket:
            yield socket

    @contextmanager
    def console(
        self, slug: str, guest: str, mode: str, *, typing: bool = True
    ) -> Iterator[ClientConnection]:
        """Open a guest's console, `serial` or `shell`; text frames are words about it.

        Output stops after 512 KiB until a frame of the type `taken` says how much of it
        was read. Raises: Refused.
        """
        path = _path(slug, f"guests/{quote(guest)}/console/ticket/")
        answer = self._post(path, {"mode": mode, "typing": str(int(typing))})
        if answer.status_code != httpx.codes.OK:
            raise Refused(f"No console of {guest}: {answer.status_code}.")
        with self._connected("/ws/console/") as socket:
            send(socket, {"type": "open", "ticket": answer.json()["ticket"]})
            yield socket

    @contextmanager
    def _connected(self, path: str) -> Iterator[ClientConnection]:
        """Open a websocket with this user's session."""
        cookies = "; ".join(f"{c.name}={c.value}" for c in self._http.cookies.jar)
        place = urlsplit(self.base_url)
        scheme = "wss" if place.scheme == "https" else "ws"
        with connect(
            f"{scheme}://{place.netloc}{path}",
            additional_headers={"Cookie": cookies},
            origin=Origin(f"{place.scheme}://{place.netloc}"),
            max_size=_MAX_FRAME_BYTES,
            open_timeout=_TIMEOUT_S,
            proxy=None,
        ) as socket:
            yield socket

    def _ask(self, slug: str, what: str, wanted: Frame) -> StartedRun:
        def send(confirm: Frame) -> httpx.Response:
            path, body = _path(slug, f"{what}/"), wanted | confirm
            return self._http.post(path, json=body, headers=self._token())

        return _started(_of_testbed(slug, self._agreed(send)))

    def _watch(
        self,
        number: int,
        on_frame: OnFrame,
        waiting: list[Frame],
        *,
        after: int = 0,
    ) -> str:
        """Show a run's frames until its end, however often the connection breaks."""

        def opened() -> AbstractContextManager[ClientConnection]:
            return self.socket(number)

        return watch(
            opened, number, on_frame, waiting, after=after, patience_s=RECONNECT_FOR_S
        )

    def _confirmed(self, slug: str, what: str, form: Frame) -> httpx.Response:
        """Send a testbed's form, again with its token when the user agrees to it."""

        def send(confirm: Frame) -> httpx.Response:
            path = _path(slug, f"{what}/")
            return self._post(path, form | confirm, headers=_WANTS_JSON)

        return _of_testbed(slug, self._agreed(send))

    def _agreed(self, send: Callable[[Frame], httpx.Response]) -> httpx.Response:
        answer = send({})
        for _ in range(_CONFIRMATIONS):
            erases = _body(answer).get("erases")
            if erases is None:
                break
            if not self._agrees(erases):
                raise Declined(_reason(answer), _body(answer))
            answer = send({"confirm": erases["confirm"]})
        return answer

    def _post(
        self,
        path: str,
        form: dict[str, str],
        *,
        files: dict[str, tuple[str, bytes, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        return self._http.post(
            path, data=form, files=files, headers=self._token() | (headers or {})
        )

    def _token(self) -> dict[str, str]:
        """Return the headers that every POST carries."""
        if "csrftoken" not in self._http.cookies:
            self._http.get("/login/").raise_for_status()
        return {
            "X-CSRFToken": self._http.cookies["csrftoken"],
            "Referer": self.base_url,
        }


def _started(answer: httpx.Response) -> StartedRun:
    """Read the answer to a request of a run. Raises: Refused."""
    body = _body(answer)
    if "run" not in body:
        raise Refused(_reason(answer), body)
    waits = body.get("status") == "waiting"
    return StartedRun(body["run"], tuple(body["instructions"]), waits)


def _path(testbed: str, rest: str = "") -> str:
    """Return the path of a testbed: a name, `alice/name` or a key, and of what is below.

    The account is written as `testbed/access/addresses.py` says.
    """
    account, _, name = testbed.rpartition("/")
    written = _SPECIAL.sub(lambda sign: _escaped(sign[0]), account)
    if account and (not account.strip(".") or account == "new"):
        written = _escaped(account)
    return (
        f"/testbeds/{written}/{name}/{rest}" if account else f"/testbeds/{name}/{rest}"
    )


def _escaped(text: str) -> str:
    return "".join(f"~{byte:02X}" for byte in text.encode())


def _of_testbed(slug: str, answer: httpx.Response) -> httpx.Response:
    """Return the answer about a testbed. Raises: Refused when there is none."""
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise Refused(f"There is no testbed {slug}, or it is another user's.")
    return answer


def _require_ok(answer: httpx.Response) -> None:
    if answer.status_code != httpx.codes.OK:
        raise Refused(_reason(answer), _body(answer))


def _body(answer: httpx.Response) -> Frame:
    """Return the JSON object of an answer; nothing of a page."""
    is_json = "json" in answer.headers.get("content-type", "")
    found = answer.json() if is_json else {}
    return found if isinstance(found, dict) else {}


def _reason(answer: httpx.Response) -> str:
    """Return the server's refusal as lines: the faults, their places, the hints."""
    body = _body(answer)
    if "error" not in body:
        return f"The server answers {answer.status_code} ({answer.reason_phrase})."
    lines = [f"{body.get('error', '')} {body.get('hint', '')}".strip()]
    for finding in body.get("findings", ()):
        place = f"line {finding['line']} {finding['severity']} {finding['path']}"
        hint = f" ({finding['hint']})" if finding["hint"] else ""
        lines.append(f"  {place}: {finding['message']}{hint}")
    return "\n".join(lines)


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False
    ) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()
