"""The artefacts of a testbed: listed, and downloaded alone or as one archive."""

from http import HTTPStatus
from itertools import islice

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import BaseModel

from orchestration.errors import TestbedError
from orchestration.state.model import State
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.content import BINARY, answers_with, sent
from testbed.api.paging import Paging
from testbed.api.places import testbed_of
from testbed.api.problems import Missing, problem_answer
from testbed.models import Testbed
from testbed.pages.artefacts import all_artefacts, archived, find_artefact
from testbed.pages.overview import state_of
from testbed.pages.streaming import require_one_more, zip_pieces

router = Router(tags=["artefacts"])
TEXT, ZIP = "text/plain; charset=utf-8", "application/zip"


class ArtefactShape(BaseModel):
    """A file that was made from the YAML; `place` says what it is, in words."""

    name: str
    place: str


class ArtefactList(BaseModel):
    """A page of artefacts; `more` says whether another one follows."""

    items: list[ArtefactShape]
    more: bool


@router.get("/testbeds/{account}/{name}/artefacts", response=ArtefactList)
def list_artefacts(
    request: Request, account: str, name: str, paging: Query[Paging]
) -> dict[str, object]:
    """List the artefacts, those of the testbed first; none before they are generated."""
    testbed = testbed_of(request, account, name, Act.ARTEFACTS)
    state, _ = state_of(testbed)
    begin = (paging.page - 1) * paging.per_page
    rows = all_artefacts(testbed.project, state) if state else iter(())
    found = list(islice(rows, begin, begin + paging.per_page + 1))
    items = [{"name": one.name, "place": one.place} for one in found]
    return {"items": items[: paging.per_page], "more": len(items) > paging.per_page}


@router.get(
    "/testbeds/{account}/{name}/artefacts/{path:path}",
    openapi_extra=answers_with(BINARY, "text/plain"),
)
def read_artefact(
    request: Request, account: str, name: str, path: str
) -> HttpResponseBase:
    """Send an artefact, without secrets."""
    testbed = testbed_of(request, account, name, Act.ARTEFACTS)
    artefact = find_artefact(testbed.project, _state(testbed), path)
    if artefact is None:
        raise Missing(f"There is no artefact {path}.")
    try:
        content = artefact.read()
    except TestbedError as exc:
        return problem_answer(exc, HTTPStatus.CONFLICT)
    return HttpResponse(content, content_type=BINARY if artefact.describe else TEXT)


@router.get("/testbeds/{account}/{name}/artefacts.zip", openapi_extra=answers_with(ZIP))
def read_artefacts(request: Request, account: str, name: str) -> HttpResponseBase:
    """Send all artefacts as one archive, without any key."""
    testbed = testbed_of(request, account, name, Act.ARTEFACTS)
    state, folder = _state(testbed), f"{testbed.name}-artefacts"
    require_one_more(request.user)
    pieces = zip_pieces(archived(testbed.project, state, folder))
    return sent(request, pieces, ZIP, f"{folder}.zip")


def _state(testbed: Testbed) -> State:
    state, _ = state_of(testbed)
    if state is None:
        raise Missing(
            "Nothing was generated yet.", hint="Generate the artefacts first."
        )
    return state
