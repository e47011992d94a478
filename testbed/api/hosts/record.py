"""The record of who did what: of the lab for its admins, of a testbed for its owner."""

from datetime import datetime

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from pydantic import BaseModel

from testbed.access.permissions import Act, is_admin, require_admin
from testbed.access.visibility import Request
from testbed.api.content import answers_with, sent
from testbed.api.paging import Paging, page_of
from testbed.api.places import testbed_of
from testbed.models import Entry, Testbed
from testbed.pages.listing.record import RecordForm, as_csv
from testbed.pages.streaming import require_one_more

router = Router(tags=["record"])
CSV = "text/csv; charset=utf-8"


class EntryShape(BaseModel):
    """One act; `address` is for lab admins. `said` is the end of the run that it began."""

    id: int
    at: datetime
    user: str
    role: str
    address: str | None
    act: str
    thing: str
    owner: str
    run: int | None
    what: str
    outcome: str
    said: str


class RecordList(BaseModel):
    """A page of the record, the newest first."""

    items: list[EntryShape]
    count: int


class RecordFilters(Schema):
    """The filters of the record, as on its page; `since` and `until` are days."""

    user: str = ""
    act: str = ""
    text: str = ""
    outcome: str = ""
    since: str = ""
    until: str = ""

    def form(self) -> RecordForm:
        """Return the filters as the page's form. Raises: TestbedError."""
        form = RecordForm(self.model_dump())
        if problem := form.problem:
            raise problem
        return form


@router.get("/record", response=RecordList)
def list_record(
    request: Request,
    response: HttpResponse,
    filters: Query[RecordFilters],
    paging: Query[Paging],
) -> dict[str, object]:
    """List what was done in the lab, for its admins."""
    require_admin(request.user)
    return _listed(request, response, filters, paging)


@router.get("/record.csv", openapi_extra=answers_with("text/csv"))
def read_record_csv(
    request: Request, filters: Query[RecordFilters]
) -> HttpResponseBase:
    """Send the chosen entries as a table for other programs."""
    require_admin(request.user)
    require_one_more(request.user)
    return sent(request, as_csv(filters.form().entries()), CSV, "record.csv")


@router.get("/testbeds/{account}/{name}/record", response=RecordList)
def list_record_of_testbed(
    request: Request,
    response: HttpResponse,
    account: str,
    name: str,
    filters: Query[RecordFilters],
    paging: Query[Paging],
) -> dict[str, object]:
    """List what was done to a testbed."""
    testbed = testbed_of(request, account, name, Act.READ_RECORD)
    return _listed(request, response, filters, paging, testbed)


def _listed(
    request: Request,
    response: HttpResponse,
    filters: RecordFilters,
    paging: Paging,
    testbed: Testbed | None = None,
) -> dict[str, object]:
    rows = filters.form().entries(testbed)
    found, count = page_of(request, response, rows, paging)
    shows_addresses = is_admin(request.user)
    items = [_shape(entry, shows_address=shows_addresses) for entry in found]
    return {"items": items, "count": count}


def _shape(entry: Entry, *, shows_address: bool) -> dict[str, object]:
    return {
        "id": entry.pk,
        "at": entry.at,
        "user": entry.user,
        "role": entry.role,
        "address": entry.address if shows_address else None,
        "act": entry.act,
        "thing": entry.thing,
        "owner": entry.owner,
        "run": entry.run_number,
        "what": entry.what,
        "outcome": getattr(entry, "result", entry.outcome),
        "said": getattr(entry, "said", ""),
    }
