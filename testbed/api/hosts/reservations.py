"""Reservations: the capacity of hosts in a week, and single ones made and changed."""

from datetime import date, datetime
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from ninja import Field, Query, Router
from pydantic import BaseModel

from orchestration.state.placement import Taken
from testbed.access.limits import Account, name_of
from testbed.access.permissions import Act, OwnAct, require_scope
from testbed.access.visibility import Request, reservation_for
from testbed.api.keyed import KEYED, Made, made_once
from testbed.api.paging import Paging, page_of
from testbed.api.wishes import Id, Wish, Words
from testbed.models import Host, Reservation
from testbed.models.expiry import database_now
from testbed.notifications.reservations import done_and_told
from testbed.pages.reservations.shown import shown, shown_as
from testbed.pages.reservations.week import hosts_in, rows_of_week, week_of
from testbed.reservations import changes
from testbed.reservations.bounds import MOST_AMOUNT
from testbed.reservations.holders import holders_for, require_change
from testbed.reservations.moments import moment
from testbed.reservations.wishes import ReservationRefused
from testbed.reservations.wishes import Wish as Reserving

router = Router(tags=["reservations"])
Amount = Field(ge=1, le=MOST_AMOUNT)


class ReservationShape(BaseModel):
    """A reservation; who has it, and for what, only for those who may read it."""

    host: str
    vcpus: int
    memory_mib: int
    begins_at: datetime
    ends_at: datetime
    state: str
    id: int | None = None
    holder: str | None = None
    purpose: str | None = None
    made_by: str | None = None
    problem: str | None = None
    version: int | None = None


class Amounts(BaseModel):
    """An amount of a host."""

    vcpus: int
    memory_mib: int


class DayShape(BaseModel):
    """One day of a host, in the lab's time zone."""

    day: date
    reserved_at_most: Amounts
    unreserved_at_least: Amounts


class HostOfWeek(BaseModel):
    """A host in one week, and now."""

    host: str
    capacity: Amounts
    used_now: Amounts
    reserved_and_unused_now: Amounts
    free_now: Amounts
    days: list[DayShape]


class WeekShape(BaseModel):
    """All hosts in one week, and a page of its reservations."""

    week: str
    hosts: list[HostOfWeek]
    items: list[ReservationShape]
    count: int


class NewReservation(Wish):
    """A reservation; a time without an offset is in `zone`, the lab's or UTC.

    Without `host` the emptiest one is chosen. `holder` is an account, or `group` and
    its name.
    """

    vcpus: int = Amount
    memory_mib: int = Amount
    begins: Words
    ends: Words
    zone: Words = ""
    host: Words = ""
    holder: Words = ""
    purpose: Words = ""


class ReservationChange(Wish):
    """The changes of a reservation; with `version` only as it was then."""

    vcpus: int | None = Field(None, ge=1, le=MOST_AMOUNT)
    memory_mib: int | None = Field(None, ge=1, le=MOST_AMOUNT)
    begins: Words | None = None
    ends: Words | None = None
    zone: Words = ""
    host: Words | None = None
    purpose: Words | None = None
    version: Id | None = None


@router.get("/reservations", response=WeekShape, exclude_unset=True)
def list_reservations(
    request: Request, response: HttpResponse, paging: Query[Paging], week: str = ""
) -> dict[str, Any]:
    """Show the capacity of each host in a week such as `2026-W48`; the present one else."""
    require_scope(request.user, Act.SEE)
    now = database_now()
    asked = week_of(week, now)
    rows, count = page_of(request, response, rows_of_week(asked, request.user), paging)
    return {
        "week": asked.name,
        "hosts": [one.json() for one in hosts_in(asked, list(Host.objects.all()), now)],
        "items": [one.json() for one in shown(rows, request.user, now)],
        "count": count,
    }


@router.post("/reservations", response={201: ReservationShape}, openapi_extra=KEYED)
def make_reservation(request: Request, new: NewReservation) -> HttpResponse:
    """Reserve capacity. An `Idempotency-Key` lets a request be sent again."""
    require_scope(request.user, OwnAct.RESERVATIONS)

    def make() -> Made:
        begins_at, ends_at = moment(new.begins, new.zone), moment(new.ends, new.zone)
        need = Taken(new.vcpus, new.memory_mib)
        wish = Reserving(new.host, need, begins_at, ends_at, new.purpose)
        holder = _holder(request, new.holder)
        row = done_and_told(
            lambda: changes.reserve(wish, holder, request.user), "made", request.user
        )
        place = reverse("api:reservation", args=[row.pk])
        return Made(_shape(row), place)

    return made_once(request, make)


@router.get(
    "/reservations/{int:number}", response=ReservationShape, url_name="reservation"
)
def read_reservation(request: Request, number: int) -> dict[str, Any]:
    """Show a reservation to its holder and to lab admins."""
    require_scope(request.user, Act.SEE)
    return _shape(reservation_for(request, number))


@router.patch("/reservations/{int:number}", response=ReservationShape)
def change_reservation(
    request: Request, number: int, change: ReservationChange
) -> dict[str, Any]:
    """Change a reservation that is not over; what is left out stays."""
    row = _to_change(request, number)
    wish = _changed(row, change)
    seen = row.version if change.version is None else change.version
    done_and_told(
        lambda: changes.change(row, wish, request.user, seen), "changed", request.user
    )
    return _shape(reservation_for(request, number))


@router.delete("/reservations/{int:number}", response=ReservationShape)
def cancel_reservation(request: Request, number: int) -> dict[str, Any]:
    """Cancel a reservation that is not over; it stays in the calendar of its readers."""
    row = _to_change(request, number)
    done_and_told(lambda: changes.cancel(row, request.user), "cancelled", request.user)
    return _shape(reservation_for(request, number))


def _to_change(request: Request, number: int) -> Reservation:
    """Return a reservation that the user may change. Raises: Http404, NotAllowed."""
    require_scope(request.user, OwnAct.RESERVATIONS)
    row = reservation_for(request, number)
    require_change(request.user, row)
    return row


def _holder(request: Request, name: str) -> Account:
    """Return for whom the user reserves. Raises: ReservationRefused."""
    holder = holders_for(request.user).get(name or name_of(request.user))
    if holder is None:
        raise ReservationRefused(
            f"There is no {name}, or you may not reserve for it.",
            hint="Reserve for yourself, or for a group that you manage: `group` and "
            "its name.",
        )
    return holder


def _changed(row: Reservation, change: ReservationChange) -> Reserving:
    """Return what a reservation is to be. Raises: NoMoment."""
    begins, ends, zone = change.begins, change.ends, change.zone
    need = Taken(change.vcpus or row.vcpus, change.memory_mib or row.memory_mib)
    host = row.host_name if row.host else ""
    return Reserving(
        host if change.host is None else change.host,
        need,
        row.begins_at if begins is None else moment(begins, zone),
        row.ends_at if ends is None else moment(ends, zone),
        row.purpose if change.purpose is None else change.purpose,
    )


def _shape(row: Reservation) -> dict[str, Any]:
    return shown_as(row, database_now(), may_read=True).json()
