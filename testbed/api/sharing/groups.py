"""Groups of users: read by their members, kept by their managers and lab admins."""

from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Status
from pydantic import BaseModel

from testbed.access.permissions import Act, OwnAct, require_admin, require_scope
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.api.places import account_in
from testbed.api.wishes import Wish, Words
from testbed.sharing.groups import (
    add_manager,
    add_member,
    create_group,
    delete_group,
    manages,
    remove_manager,
    remove_member,
    require_manager,
)
from testbed.sharing.people import groups_of

router = Router(tags=["groups"])


class GroupShape(BaseModel):
    """A group with the names of its managers."""

    id: int
    name: str
    managers: list[str]


class GroupList(BaseModel):
    """A page of groups."""

    items: list[GroupShape]
    count: int


class GroupWithMembers(GroupShape):
    """A group with all its members; `note` says what a change left as it was."""

    members: list[str]
    may_change: bool
    note: str = ""


class NewGroup(Wish):
    """A new group."""

    name: Words


@router.get("/groups", response=GroupList)
def list_groups(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List the groups that the user belongs to or manages; lab admins see all."""
    require_scope(request.user, Act.SEE)
    found, count = page_of(request, response, _visible(request), paging)
    return {"items": [_shape(group) for group in found], "count": count}


@router.post("/groups", response={201: GroupShape}, operation_id="create_group")
def make_group(request: Request, new: NewGroup) -> Status[dict[str, object]]:
    """Make an empty group, as a lab admin."""
    require_admin(request.user)
    return Status(201, _shape(create_group(new.name, request.user)))


@router.get("/groups/{int:number}", response=GroupWithMembers)
def read_group(request: Request, number: int) -> dict[str, object]:
    """Show a group with its members."""
    require_scope(request.user, Act.SEE)
    return _whole(request, _group(request, number))


@router.delete(
    "/groups/{int:number}", response={204: None}, operation_id="delete_group"
)
def drop_group(request: Request, number: int) -> HttpResponse:
    """Delete a group and its shares, as a lab admin; its testbeds fall to their owners."""
    require_admin(request.user)
    delete_group(_group(request, number), request.user)
    return HttpResponse(status=204)


@router.put(
    "/groups/{int:number}/members/{user}",
    response=GroupWithMembers,
    operation_id="add_group_member",
)
def put_member(request: Request, number: int, user: str) -> dict[str, object]:
    """Add a user by the exact name, as a manager."""
    group = _to_keep(request, number)
    return _whole(request, group, add_member(group, account_in(user), request.user))


@router.delete(
    "/groups/{int:number}/members/{user}",
    response=GroupWithMembers,
    operation_id="remove_group_member",
)
def drop_member(request: Request, number: int, user: str) -> dict[str, object]:
    """Remove a user, who loses what is shared with the group."""
    group = _to_keep(request, number)
    return _whole(request, group, remove_member(group, account_in(user), request.user))


@router.put(
    "/groups/{int:number}/managers/{user}",
    response=GroupWithMembers,
    operation_id="add_group_manager",
)
def put_manager(request: Request, number: int, user: str) -> dict[str, object]:
    """Let a user change the members, as a lab admin."""
    require_admin(request.user)
    group = _group(request, number)
    return _whole(request, group, add_manager(group, account_in(user), request.user))


@router.delete(
    "/groups/{int:number}/managers/{user}",
    response=GroupWithMembers,
    operation_id="remove_group_manager",
)
def drop_manager(request: Request, number: int, user: str) -> dict[str, object]:
    """Take that from a user, as a lab admin."""
    require_admin(request.user)
    group = _group(request, number)
    return _whole(request, group, remove_manager(group, account_in(user), request.user))


def _visible(request: Request) -> QuerySet[Group]:
    return groups_of(request.user).prefetch_related("managers__user")


def _group(request: Request, number: int) -> Group:
    return get_object_or_404(_visible(request), pk=number)


def _to_keep(request: Request, number: int) -> Group:
    """Return a group whose members the user may change. Raises: Http404, NotAllowed."""
    require_scope(request.user, OwnAct.GROUPS)
    group = _group(request, number)
    require_manager(request.user, group)
    return group


def _shape(group: Group) -> dict[str, object]:
    managers = sorted(str(row.user) for row in group.managers.all())
    return {"id": group.pk, "name": group.name, "managers": managers}


def _whole(request: Request, group: Group, note: str = "") -> dict[str, object]:
    """Return a group as it is now: a manager may have left it just now."""
    now = Group.objects.prefetch_related("managers__user").get(pk=group.pk)
    members = now.user_set.order_by("username").values_list("username", flat=True)
    return {
        **_shape(now),
        "members": list(members),
        "may_change": manages(request.user, now),
        "note": note,
    }
