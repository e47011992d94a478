"""Snapshots of guests, as last observed, and the acts on them."""

from typing import Any

from django.http import HttpResponse
from ninja import Router
from pydantic import BaseModel

from orchestration.errors import ExecutionRefused
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.keyed import KEYED
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.api.runs import Started, started
from testbed.api.wishes import Text, Wish, Words
from testbed.pages.guests.group_snapshots import groups_of
from testbed.pages.guests.schedules import shapes
from testbed.pages.guests.snapshot_acts import (
    PUT_YAML_BACK,
    SnapshotForm,
    act_on_all,
    act_on_guest,
    bring_yaml_back,
    group_named,
    tree_of,
)
from testbed.pages.guests.snapshots import trees_of

router = Router(tags=["snapshots"])


class SnapshotList(BaseModel):
    """The snapshots of each guest, the group snapshots and the schedules.

    docs/protocol.md has the keys.
    """

    guests: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    schedules: list[dict[str, Any]]


class SnapshotWish(Wish):
    """An act on a snapshot: `create`, `restore`, `delete` or `rename`.

    With the guest `@all` it is a group snapshot. With `every` a deletion is of all
    snapshots of the guest, and no `name` is sent. `confirm` is the token of what the act
    erases.
    """

    verb: Words
    guest: Words
    name: Words = ""
    description: Text = ""
    before: Words = ""
    children: bool = False
    every: bool = False
    title: Words = ""
    confirm: Words = ""


class YamlWish(Wish):
    """The name of a group snapshot whose YAML is to be the present one."""

    name: Words


class Kept(BaseModel):
    """The path of the YAML before."""

    kept: str


@router.get("/testbeds/{account}/{name}/snapshots", response=SnapshotList)
def list_snapshots(
    request: Request, account: str, name: str, guest: str = ""
) -> dict[str, object]:
    """List the snapshots of all guests, or of one."""
    testbed = testbed_of(request, account, name, Act.SEE)
    trees = trees_of(testbed, (guest,) if guest else None)
    if guest and not trees:
        raise Missing(f"Testbed {testbed} has no guest {guest!r}.")
    groups = [] if guest else groups_of(testbed, trees)
    return {
        "guests": [tree.to_json() for tree in trees],
        "groups": [group.to_json() for group in groups],
        "schedules": shapes(testbed),
    }


@router.post(
    "/testbeds/{account}/{name}/snapshots",
    response={202: Started},
    openapi_extra=KEYED,
)
def act_on_snapshot(
    request: Request, account: str, name: str, wish: SnapshotWish
) -> HttpResponse:
    """Take, restore, delete or rename a snapshot."""
    testbed = testbed_of(request, account, name, Act.SNAPSHOT)
    if wish.verb == PUT_YAML_BACK:
        raise ExecutionRefused(
            "To put a YAML back is no run.", hint="Use `snapshots/yaml`."
        )
    form = SnapshotForm(**wish.model_dump())
    if form.is_group:
        return started(request, lambda: act_on_all(testbed, request.user, form))
    tree = tree_of(testbed, form.guest)
    return started(request, lambda: act_on_guest(testbed, request.user, form, tree))


@router.post("/testbeds/{account}/{name}/snapshots/yaml", response=Kept)
def put_yaml_back(
    request: Request, account: str, name: str, wish: YamlWish
) -> dict[str, object]:
    """Make the YAML of a group snapshot the present one; the one before is kept."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    group = group_named(testbed, wish.name)
    return {"kept": bring_yaml_back(testbed, request.user, group)}
