"""Packet captures: the places for one, and the packets of one while it runs.

`POST …/exec` starts one, with the form `capture`.
"""

from functools import partial

from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act
from testbed.access.sessions import user_of_session
from testbed.access.tokens import TokenInvalid, token_in, user_of_token
from testbed.access.visibility import Request, run_for
from testbed.api.content import answers_with
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.pages.execution.captures import FindUser, choices_of, growing
from testbed.pages.overview import state_of
from testbed.pages.streaming import note, require_one_more
from testbed.runs.kept import capture_file

router = Router(tags=["runs"])
PCAP = "application/vnd.tcpdump.pcap"


class CapturePlace(BaseModel):
    """An interface of a guest, or a bridge, as pages name it."""

    place: str
    about: str


class CapturePlaces(BaseModel):
    """All places of a testbed whose packets can be captured."""

    items: list[CapturePlace]


@router.get("/testbeds/{account}/{name}/captures", response=CapturePlaces)
def list_capture_places(request: Request, account: str, name: str) -> dict[str, object]:
    """List the interfaces and bridges whose packets can be captured."""
    testbed = testbed_of(request, account, name, Act.EXECUTE)
    state, _ = state_of(testbed)
    found = choices_of(state) if state else []
    return {"items": [{"place": one.value, "about": one.label} for one in found]}


@router.get("/runs/{int:number}/capture.pcap", openapi_extra=answers_with(PCAP))
def read_packets(request: Request, number: int) -> StreamingHttpResponse:
    """Send the packets of a capture; while it runs, also those that come."""
    run = run_for(request, number, Act.TAKE_PACKETS)
    is_there = not run.is_over or capture_file(run).is_file()
    if not (run.is_capture and is_there):
        raise Missing("This run has no packets.")
    require_one_more(request.user)
    answer = StreamingHttpResponse(growing(run, _finder(request)), content_type=PCAP)
    answer.headers["Content-Disposition"] = f'attachment; filename="{run.pk}.pcap"'
    # nginx would keep packets back until it has a buffer of them.
    answer.headers["X-Accel-Buffering"] = "no"
    note(request.user, answer)
    return answer


def _finder(request: Request) -> FindUser:
    """Return what finds the user of a request later: by its token or its session."""
    text = token_in(request.headers.get("Authorization", ""))
    if text is None:
        return partial(user_of_session, request.session.session_key)
    return partial(_user_of, text)


def _user_of(text: str) -> User | None:
    try:
        return user_of_token(text)
    except TokenInvalid:
        return None
