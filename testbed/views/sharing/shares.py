"""The page on which an owner shares a testbed, gives it away, and says who is charged."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group, User
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.errors import TestbedBusy, TestbedError
from testbed.access.addresses import Address
from testbed.access.limits import name_of
from testbed.access.permissions import Act
from testbed.access.roles import role_of
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.models import Share, Testbed
from testbed.sharing.charging import charge, groups_for
from testbed.sharing.people import group_named, groups_of, known_to, user_named
from testbed.sharing.shares import change_share, share_with, take_away
from testbed.sharing.transfer import OwnerChanged, candidates, receiver_named, transfer
from testbed.views.problems import problem_page

# A browser suggests so many names.
SUGGESTED = 300


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request, address: Address) -> HttpResponse:
    """Show the shares of a testbed, or share it with a user or a group."""
    testbed = testbed_for(request, address, Act.SHARE)
    if request.method == "GET":
        return _page(request, testbed)
    try:
        who: User | Group
        if group := request.POST.get("group", ""):
            who = group_named(request.user, group)
        else:
            name = request.POST.get("user", "")
            who = user_named(request.user, name, owner=testbed.owner)
        share = share_with(testbed, who, request.POST.get("role", ""), request.user)
    except TestbedError as exc:
        return _page(request, testbed, exc)
    messages.success(request, f"{share.who} is {share.role} of {testbed} now.")
    return redirect("testbed-sharing", address)


@login_required
@require_POST
def change(request: Request, address: Address) -> HttpResponse:
    """Give a share another role, or take it away."""
    testbed = testbed_for(request, address, Act.SHARE)
    number = request.POST.get("share", "")
    is_number = number.isascii() and number.isdecimal() and len(number) < 19
    rows = testbed.shares.select_related("user", "group", "testbed__owner")
    share = rows.filter(pk=int(number)).first() if is_number else None
    if share is None:
        raise Http404("There is no such share.")
    try:
        if "remove" in request.POST:
            take_away(share, request.user)
            messages.success(
                request, f"{share.who} has no share of {testbed} any more."
            )
        else:
            change_share(share, request.POST.get("role", ""), request.user)
            messages.success(request, f"The role of {share.who} was changed.")
    except TestbedError as exc:
        return _page(request, testbed, exc)
    return redirect("testbed-sharing", address)


@login_required
@require_POST
def give(request: Request, address: Address) -> HttpResponse:
    """Ask, then give a testbed to another owner."""
    testbed = testbed_for(request, address, Act.TRANSFER)
    former = request.POST.get("former", "")
    try:
        to = receiver_named(testbed, request.POST.get("to", ""), request.user)
        if request.POST.get("sure") != to.username:
            context = {"testbed": testbed, "to": to, "former": former}
            return render(request, "sharing/give.html", context)
        transfer(testbed, to, request.user, former_role=former)
    except OwnerChanged as exc:  # and may not see its shares any more
        return problem_page(request, exc, status=409, back=reverse("testbeds"))
    except TestbedError as exc:
        return _page(request, testbed, exc)
    name = str(testbed)
    testbed.refresh_from_db(from_queryset=Testbed.objects.select_related("owner"))
    is_seen = role_of(request.user, testbed) is not None
    messages.success(request, f"{testbed if is_seen else name} belongs to {to} now.")
    return redirect("testbed", testbed) if is_seen else redirect("testbeds")


@login_required
@require_POST
def charge_to(request: Request, address: Address) -> HttpResponse:
    """Charge a testbed to its owner or to a group."""
    testbed = testbed_for(request, address, Act.TRANSFER)
    try:
        account = charge(testbed, request.POST.get("charged", "none"), request.user)
    except TestbedError as exc:
        return _page(request, testbed, exc)
    messages.success(request, f"{testbed} is charged to {name_of(account)} now.")
    return redirect("testbed-sharing", testbed)


def _page(
    request: Request, testbed: Testbed, refused: TestbedError | None = None
) -> HttpResponse:
    shares = testbed.shares.select_related("user", "group", "given_by")
    taken = [share.group_id for share in shares]
    context = {
        "testbed": testbed,
        "shares": sorted(shares, key=lambda one: (one.group_id is not None, one.who)),
        "roles": Share.Role.values,
        "known": known_to(request.user).exclude(pk=testbed.owner_id)[:SUGGESTED],
        "groups": groups_of(request.user).exclude(pk__in=filter(None, taken)),
        "candidates": candidates(testbed, request.user)[:SUGGESTED],
        "chargeable": groups_for(testbed),
        "refused": refused,
        "typed": request.POST,
    }
    status = 200
    if refused is not None:
        status = 409 if isinstance(refused, TestbedBusy) else 422
    return render(request, "sharing/index.html", context, status=status)
