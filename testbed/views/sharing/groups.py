"""Groups of users, and the page on which a manager keeps the members of one."""

from collections.abc import Callable, Mapping

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from orchestration.errors import TestbedError
from testbed.access.permissions import is_admin, require_admin
from testbed.access.visibility import Request, not_stored
from testbed.pages.budgets import allowance_address
from testbed.sharing.groups import (
    add_manager,
    add_member,
    create_group,
    manages,
    remove_manager,
    remove_member,
    require_manager,
)
from testbed.sharing.people import groups_of

Change = Callable[[Group, str, User], str]
OF_MANAGERS: Mapping[str, Change] = {"add": add_member, "remove": remove_member}
OF_ADMINS: Mapping[str, Change] = {
    "add-manager": add_manager,
    "remove-manager": remove_manager,
}


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request) -> HttpResponse:
    """Show the user's groups; lab admins make one."""
    refused = None
    if request.method == "POST":
        require_admin(request.user)
        try:
            group = create_group(request.POST.get("name", ""), request.user)
        except TestbedError as exc:
            refused = exc
        else:
            return redirect("group", group.pk)
    groups = groups_of(request.user).prefetch_related("managers__user")
    context = {"groups": groups, "refused": refused}
    status = 422 if refused else 200
    return render(request, "sharing/groups.html", context, status=status)


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def show(request: Request, pk: int) -> HttpResponse:
    """Show a group to its members; its managers and lab admins change it."""
    group = get_object_or_404(groups_of(request.user), pk=pk)
    refused = None
    if request.method == "POST":
        name, do = request.POST.get("user", ""), request.POST.get("do", "")
        try:
            note = _change_of(request.user, group, do)(group, name, request.user)
        except TestbedError as exc:
            refused = exc
        else:
            messages.success(request, f"{group} was changed. {note}".strip())
            is_seen = groups_of(request.user).filter(pk=pk).exists()
            return redirect("group", pk) if is_seen else redirect("groups")
    context = {
        "group": group,
        "members": group.user_set.order_by("username"),
        "managers": [row.user for row in group.managers.select_related("user")],
        "may_change": manages(request.user, group),
        "limits": allowance_address(group) if is_admin(request.user) else "",
        "refused": refused,
    }
    status = 422 if refused else 200
    return render(request, "sharing/group.html", context, status=status)


def _change_of(user: User, group: Group, do: str) -> Change:
    """Return what is to be done. Raises: NotAllowed, TestbedError."""
    if do in OF_ADMINS:
        require_admin(user)
        return OF_ADMINS[do]
    require_manager(user, group)
    if do not in OF_MANAGERS:
        raise TestbedError("There is no such change of a group.")
    return OF_MANAGERS[do]
