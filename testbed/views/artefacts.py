"""The artefacts of a testbed: look at one, download one, download all.

`pages.artefacts` decides what may be seen; the views show it a page of guests at a
time. The archive is sent while it is made.
"""

from urllib.parse import quote

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from orchestration.errors import TestbedError
from orchestration.state.model import State
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, page_of, testbed_for
from testbed.models import Testbed
from testbed.pages.artefacts import (
    Artefact,
    archived,
    content_of,
    find_artefact,
    of_guest,
    of_testbed,
    with_artefacts,
)
from testbed.pages.overview import state_of
from testbed.pages.streaming import while_made, zip_pieces
from testbed.views.execution.downloads import bounded
from testbed.views.problems import problem_page

MAX_SHOWN_BYTES = 256 * 1024


@not_stored
@login_required
@require_GET
def index(request: Request, address: Address) -> HttpResponse:
    """Show the list of artefacts, and the one that `?show=` names."""
    testbed = testbed_for(request, address, Act.ARTEFACTS)
    state, problem = state_of(testbed)
    context: dict[str, object] = {"testbed": testbed, "problem": problem}
    if state is not None:
        page = page_of(request, with_artefacts(state))
        groups = [of_guest(testbed.project, state, guest) for guest in page]
        shown = _find(testbed, state, request.GET.get("show") or "plan-up.txt")
        context |= {"page": page, "groups": groups, "of_testbed": of_testbed(state)}
        context |= {"shown": shown, **_lines(shown)}
        sha256 = testbed.project.yaml_sha256()
        context |= {"is_edited": state.yaml_sha256 != sha256}
    return render(request, "testbeds/artefacts.html", context)


@not_stored
@login_required
@require_GET
def one(request: Request, address: Address, name: str) -> HttpResponse:
    """Send one artefact as text, or to be saved with `?download`."""
    testbed = testbed_for(request, address, Act.ARTEFACTS)
    artefact = _find(testbed, _state(testbed), name)
    try:
        content = artefact.read()
    except TestbedError as exc:
        back = f"{reverse('artefacts', args=[address])}?show={quote(name)}"
        return problem_page(request, exc, status=409, back=back)
    is_text = artefact.describe is None
    kind = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
    response = HttpResponse(content, content_type=kind)
    if "download" in request.GET or not is_text:
        saved_as = f"{testbed.name}-{artefact.name.replace('/', '-')}"
        header = content_disposition_header(True, saved_as) or "attachment"
        response.headers["Content-Disposition"] = header
    return response


@not_stored
@login_required
@require_GET
@bounded
def all_of(request: Request, address: Address) -> HttpResponseBase:
    """Send all artefacts as one archive, without any key."""
    testbed = testbed_for(request, address, Act.ARTEFACTS)
    folder = f"{testbed.name}-artefacts"
    pieces = zip_pieces(archived(testbed.project, _state(testbed), folder))
    response = StreamingHttpResponse(while_made(pieces), content_type="application/zip")
    saved_as = f'attachment; filename="{testbed.name}-artefacts.zip"'
    response.headers["Content-Disposition"] = saved_as
    return response


def _state(testbed: Testbed) -> State:
    state, _ = state_of(testbed)
    if state is None:
        raise Http404("Nothing was generated yet.")
    return state


def _find(testbed: Testbed, state: State, name: str) -> Artefact:
    found = find_artefact(testbed.project, state, name)
    if found is None:
        raise Http404(f"There is no artefact {name}.")
    return found


def _lines(shown: Artefact) -> dict[str, object]:
    content = content_of(shown.read)
    size, is_text = len(content), shown.describe is None
    content = content_of(shown.describe) if shown.describe else content
    text = content[:MAX_SHOWN_BYTES].decode(errors="replace")
    return {
        "lines": text.splitlines(),
        "size": size,
        "is_text": is_text,
        "is_cut": len(content) > MAX_SHOWN_BYTES,
    }
