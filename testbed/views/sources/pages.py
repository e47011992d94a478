"""A testbed's source: shown and set, fetched, and its fetches with their conflicts."""

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.models import Fetch, Testbed
from testbed.notifications.delivery import whole_address
from testbed.pages.sources.shown import conflicts_of, shown_source, source_of_page
from testbed.sources.changes import (
    ask_for_fetch,
    confirm_key,
    decide,
    forget_key,
    remove_source,
    renew_secret,
    set_source,
)
from testbed.views.problems import problem_page, status_of

UNPROCESSABLE = 422
FIELDS = ("url", "branch", "folder")


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request, address: Address) -> HttpResponse:
    """Show the source with its fetches, or set it; htmx gets the part that changes."""
    testbed = testbed_for(request, address, Act.SET_SOURCE)
    if request.method == "GET":
        return _page(request, testbed)
    typed = {name: request.POST.get(name, "") for name in FIELDS}
    then_up = bool(request.POST.get("then_up"))
    try:
        secret = set_source(testbed, request.user, **typed, then_up=then_up)
    except TestbedError as exc:
        return _page(request, testbed, refused=exc, typed=typed, then_up=then_up)
    if secret:
        return _page(request, testbed, secret=secret)
    messages.success(request, "The source was changed.")
    return redirect("testbed-source", address)


@login_required
@require_POST
def change(request: Request, address: Address) -> HttpResponse:
    """Remove the source, or confirm or forget the host key of its server."""
    testbed = testbed_for(request, address, Act.SET_SOURCE)
    fingerprint = request.POST.get("fingerprint", "")
    acts: dict[str, Callable[[Testbed, User], object]] = {
        "remove": remove_source,
        "confirm": partial(confirm_key, fingerprint=fingerprint),
        "forget": forget_key,
    }
    return _done(request, testbed, acts.get(request.POST.get("do", ""), _refuse))


@not_stored
@login_required
@require_POST
def secret(request: Request, address: Address) -> HttpResponse:
    """Give the webhook another secret, which is shown this once."""
    testbed = testbed_for(request, address, Act.SET_SOURCE)
    try:
        found = renew_secret(testbed, request.user)
    except TestbedError as exc:
        return _page(request, testbed, refused=exc)
    return _page(request, testbed, secret=found)


@login_required
@require_POST
def fetch(request: Request, address: Address) -> HttpResponse:
    """Fetch now."""
    testbed = testbed_for(request, address, Act.EDIT)
    return _done(request, testbed, ask_for_fetch)


@not_stored
@login_required
@require_GET
def one(request: Request, address: Address, pk: int) -> HttpResponse:
    """Show what a fetch changed, or the two sides of its conflict."""
    testbed = testbed_for(request, address, Act.EDIT)
    row = get_object_or_404(Fetch, pk=pk, testbed=testbed)
    context = {
        "testbed": testbed,
        "fetch": row,
        "is_written": row.status != Fetch.Status.CONFLICT,
        "conflicts": conflicts_of(row),
        "is_newest": not Fetch.objects.filter(testbed=testbed, pk__gt=pk).exists(),
        "has_trash": bool(settings.TRASH_DAYS),
    }
    return render(request, "sources/fetch.html", context)


@login_required
@require_POST
def settle(request: Request, address: Address, pk: int) -> HttpResponse:
    """Use one side of a conflict: fetch once more."""
    testbed = testbed_for(request, address, Act.EDIT)
    row = get_object_or_404(Fetch, pk=pk, testbed=testbed)
    decision, confirm = (request.POST.get(name, "") for name in ("use", "confirm"))

    def act(_: Testbed, user: User) -> None:
        decide(row, user, decision, confirm=confirm)

    return _done(request, testbed, act)


def _page(
    request: Request,
    testbed: Testbed,
    *,
    refused: TestbedError | None = None,
    typed: dict[str, str] | None = None,
    then_up: bool = False,
    secret: str = "",
) -> HttpResponse:
    source = source_of_page(testbed)
    context = {
        "testbed": testbed,
        "refused": refused,
        "typed": typed or {name: getattr(source, name, "") for name in FIELDS},
        "then_up": then_up if typed else bool(source and source.up_by_id),
        "secret": secret,
        **shown_source(testbed, source),
    }
    if source is not None:
        hook = reverse("hook", args=[source.hook])
        context["hook_address"] = request.build_absolute_uri(whole_address(hook))
    part = "sources/_state.html" if request.htmx else "sources/index.html"
    status = UNPROCESSABLE if refused else 200
    return render(request, part, context, status=status)


def _done(
    request: Request, testbed: Testbed, do: Callable[[Testbed, User], object]
) -> HttpResponse:
    """Do an act; then show the source."""
    try:
        do(testbed, request.user)
    except TestbedError as exc:
        back = reverse("testbed-source", args=[testbed])
        return problem_page(request, exc, status=status_of(exc), back=back)
    return redirect("testbed-source", testbed)


def _refuse(testbed: Testbed, user: User) -> None:
    raise TestbedError("There is no such change of a source.")
