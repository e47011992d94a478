"""Making, changing and cancelling reservations."""

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from orchestration.errors import TestbedError
from testbed.access.visibility import Request, not_stored, reservation_for
from testbed.models import Reservation
from testbed.models.expiry import database_now
from testbed.notifications.reservations import done_and_told
from testbed.pages.reservations.shown import shown_as, used_of
from testbed.reservations import changes
from testbed.reservations.holders import require_change
from testbed.reservations.wishes import in_full
from testbed.views.problems import problem_page, status_of, wants_json
from testbed.views.reservations.forms import TYPED, ReservationForm


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def new(request: Request) -> HttpResponse:
    """Make a reservation; what was typed stays where it is refused."""
    first = {"host": request.GET.get("host", "")} | _next_hours()
    form = ReservationForm(_typed(request), request.user, initial=first)

    def save() -> Reservation:
        return changes.reserve(form.wish, form.account, request.user)

    return _saved(request, form, save, "made", "Reserved: {}.")


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def change(request: Request, pk: int) -> HttpResponse:
    """Change a reservation that is not over."""
    row = reservation_for(request, pk)
    require_change(request.user, row)
    form = ReservationForm(_typed(request), request.user, row=row)

    def save() -> Reservation:
        return changes.change(row, form.wish, request.user, form.seen)

    return _saved(request, form, save, "changed", "It is {}.")


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def cancel(request: Request, pk: int) -> HttpResponse:
    """Ask about cancelling a reservation, and cancel it."""
    row = reservation_for(request, pk)
    require_change(request.user, row)
    one = shown_as(row, database_now(), may_read=True)
    if request.method == "GET":
        used = used_of(row) if one.state == "current" else None
        context = {"one": one, "used": used}
        return render(request, "reservations/cancel.html", context)
    try:
        done_and_told(
            lambda: changes.cancel(row, request.user), "cancelled", request.user
        )
    except TestbedError as exc:
        back = reverse("reservation", args=[pk])
        return problem_page(request, exc, status=status_of(exc), back=back)
    return _done(
        request, reservation_for(request, pk), f"{row} is cancelled.".capitalize()
    )


def _typed(request: Request) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _saved(
    request: Request,
    form: ReservationForm,
    save: Callable[[], Reservation],
    verb: str,
    said: str,
) -> HttpResponse:
    """Save what a form asks for, or show the form again with the reason."""
    problem = None
    if form.is_valid():
        try:
            row = done_and_told(save, verb, request.user)
        except TestbedError as exc:
            problem = exc
        else:
            return _done(request, row, said.format(in_full(row)))
    return _form_page(request, form, problem)


def _done(request: Request, row: Reservation, said: str) -> HttpResponse:
    if wants_json(request):
        found = shown_as(row, database_now(), may_read=True)
        return JsonResponse({"reservation": found.json()})
    messages.success(request, said)
    return redirect("reservation", row.pk)


def _form_page(
    request: Request, form: ReservationForm, problem: TestbedError | None
) -> HttpResponse:
    """Show the form, or for a program the first thing that is wrong with it."""
    status = status_of(problem) if problem else HTTPStatus.UNPROCESSABLE_ENTITY
    if wants_json(request) and form.is_bound:
        return problem_page(request, problem or _first_of(form), status=status, back="")
    context = {"form": form, "problem": problem, "row": form.row}
    code = status if form.is_bound else HTTPStatus.OK
    return render(request, "reservations/form.html", context, status=code)


def _first_of(form: ReservationForm) -> TestbedError:
    name, errors = next(iter(form.errors.items()))
    return TestbedError(f"{name}: {errors[0]}")


def _next_hours() -> dict[str, str]:
    """Return a begin with the next hour, and an end two hours later, as a form has them."""
    now = database_now()
    moments = {"begins": now + timedelta(hours=1), "ends": now + timedelta(hours=3)}
    return {
        name: timezone.localtime(at).replace(minute=0).strftime(TYPED)
        for name, at in moments.items()
    }
