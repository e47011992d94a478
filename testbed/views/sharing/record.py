"""The record of who did what: of the whole lab for its admins, of a testbed for its owner."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from testbed.access.addresses import Address
from testbed.access.permissions import Act, require_admin
from testbed.access.visibility import Request, not_stored, page_of, testbed_for
from testbed.models import Testbed
from testbed.pages.listing.record import RecordForm, as_csv, rows_of
from testbed.pages.streaming import while_made
from testbed.views.execution.downloads import bounded


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show what was done in the lab."""
    require_admin(request.user)
    return _page(request, None)


@not_stored
@login_required
@require_GET
def of_testbed(request: Request, address: Address) -> HttpResponse:
    """Show what was done to a testbed."""
    return _page(request, testbed_for(request, address, Act.READ_RECORD))


@not_stored
@login_required
@require_GET
@bounded
def download(request: Request) -> HttpResponseBase:
    """Send the chosen entries as a table for other programs."""
    require_admin(request.user)
    response = StreamingHttpResponse(
        while_made(as_csv(RecordForm(request.GET).entries())),
        content_type="text/csv; charset=utf-8",
    )
    response.headers["Content-Disposition"] = 'attachment; filename="record.csv"'
    return response


def _page(request: Request, testbed: Testbed | None) -> HttpResponse:
    form = RecordForm(request.GET)
    page = page_of(request, form.entries(testbed))
    context = {
        "testbed": testbed,
        "form": form,
        "page": page,
        "rows": rows_of(list(page)),
        "shows_addresses": request.user.is_superuser,
    }
    return render(request, "record/list.html", context)
