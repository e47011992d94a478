"""Orphans and the images of hosts: listed as last seen, deleted by a worker."""

from datetime import datetime
from http import HTTPStatus

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Field, Router
from pydantic import BaseModel

from testbed.access.permissions import require_admin
from testbed.access.visibility import Request
from testbed.api.keyed import KEYED, Made, made_once
from testbed.api.problems import PRECONDITION_REQUIRED, Refused
from testbed.api.wishes import Wish, Words
from testbed.images.listing import (
    SeenImage,
    SeenStore,
    delete_images,
    refresh_images,
    seen_stores,
)
from testbed.models import Cleanup
from testbed.orphans.adoption import adopt, offer
from testbed.orphans.listing import (
    Group,
    delete_orphans,
    group_named,
    oldest_look,
    orphan_groups,
)

router = Router(tags=["administration"])
MOST_PICKS = 10_000


class OrphanShape(BaseModel):
    """One thing on a host."""

    host: str
    kind: str
    name: str


class OrphanGroup(BaseModel):
    """All orphans of a name; `offer` says whether the testbed can be adopted, or why not.

    `testbed` is its full name where it exists.
    """

    name: str
    testbed: str | None
    adoptable: bool
    offer: str
    things: list[OrphanShape]


class OrphanList(BaseModel):
    """All orphans as last observed."""

    observed_at: datetime | None
    items: list[OrphanGroup]


class Adoption(Wish):
    """The account that the testbed comes back for."""

    owner: Words


class Adopted(BaseModel):
    """The testbed that is back."""

    testbed: str


class CleanupItemShape(BaseModel):
    """One thing that is to be deleted; `message` says why it was not."""

    host: str
    kind: str
    name: str
    status: str
    message: str


class CleanupShape(BaseModel):
    """A deletion by a worker, and how far it is."""

    id: int
    subject: str
    name: str
    asked_by: str
    status: str
    message: str
    created_at: datetime
    ended_at: datetime | None
    items: list[CleanupItemShape]


class StoredImageShape(BaseModel):
    """An image on a host; `pick` chooses it for deletion, where it is unused."""

    pick: str
    name: str
    kind: str
    label: str
    bytes: int
    unused: bool
    kept: str
    testbeds: list[str]
    others: list[str]


class StoreShape(BaseModel):
    """The images of one host as last observed; `pick` chooses its unfinished files."""

    host: str
    pick: str
    observed_at: datetime | None
    problem: str
    unfinished: int
    unfinished_bytes: int
    images: list[StoredImageShape]


class StoreList(BaseModel):
    """All hosts' images, main first."""

    items: list[StoreShape]


class ImageDeletion(Wish):
    """The images to delete by their `pick`, or `all` for all that are unused."""

    picks: list[Words] = Field(max_length=MOST_PICKS)
    confirm: Words = ""


@router.get("/orphans", response=OrphanList)
def list_orphans(request: Request) -> dict[str, object]:
    """List what is on the hosts and belongs to no testbed."""
    require_admin(request.user)
    items = [_group(group) for group in orphan_groups()]
    return {"observed_at": oldest_look(), "items": items}


@router.delete(
    "/orphans/{name}",
    response={202: CleanupShape},
    operation_id="delete_orphans",
    openapi_extra=KEYED,
)
def remove_orphans(request: Request, name: str, confirm: str = "") -> HttpResponse:
    """Delete all orphans of a name by a worker; `confirm` is the name once more."""
    require_admin(request.user)
    if confirm != name:
        group_named(name)
        raise Refused(
            PRECONDITION_REQUIRED,
            f"This deletes all orphans of {name} from the hosts.",
            hint="Send the name as `confirm`.",
        )
    return made_once(
        request, lambda: _made(delete_orphans(name, confirm, request.user))
    )


@router.post("/orphans/{name}/adopt", response=Adopted)
def adopt_testbed(request: Request, name: str, wish: Adoption) -> dict[str, object]:
    """Bring a lost testbed back for an owner."""
    require_admin(request.user)
    owner = get_object_or_404(User, is_active=True, username=wish.owner)
    return {"testbed": adopt(name, owner, request.user).full_name}


@router.get("/cleanups/{int:number}", response=CleanupShape, url_name="cleanup")
def read_cleanup(request: Request, number: int) -> dict[str, object]:
    """Show how far a deletion of orphans or of images is."""
    require_admin(request.user)
    rows = Cleanup.objects.select_related("asked_by")
    return _cleanup(get_object_or_404(rows, pk=number))


@router.get("/stored-images", response=StoreList)
def list_stored_images(request: Request) -> dict[str, object]:
    """List the images that the hosts keep, and the testbeds that need each."""
    require_admin(request.user)
    return {"items": [_store(store) for store in seen_stores()]}


@router.post("/stored-images/refresh", response={204: None})
def refresh_stored_images(request: Request) -> HttpResponse:
    """Request that the images of all hosts are observed."""
    require_admin(request.user)
    refresh_images()
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@router.post("/stored-images/delete", response={202: CleanupShape}, openapi_extra=KEYED)
def delete_stored_images(request: Request, wish: ImageDeletion) -> HttpResponse:
    """Delete unused images by a worker; `confirm` is asked for."""
    require_admin(request.user)
    return made_once(
        request,
        lambda: _made(delete_images(wish.picks, request.user, confirm=wish.confirm)),
    )


def _made(cleanup: Cleanup) -> Made:
    place = reverse("api:cleanup", args=[cleanup.pk])
    return Made(_cleanup(cleanup), place, HTTPStatus.ACCEPTED)


def _group(group: Group) -> dict[str, object]:
    offered = offer(group)
    return {
        "name": group.name,
        "testbed": group.testbed.full_name if group.testbed else None,
        "adoptable": bool(offered and offered.is_possible),
        "offer": offered.text if offered else "",
        "things": [
            {"host": one.host, "kind": one.thing.kind, "name": one.thing.name}
            for one in group.orphans
        ],
    }


def _cleanup(row: Cleanup) -> dict[str, object]:
    shape = {
        name: getattr(row, name)
        for name in ("subject", "name", "status", "message", "created_at", "ended_at")
    }
    fields = ("host", "kind", "name", "status", "message")
    items = list(row.items.values(*fields))
    return {"id": row.pk, "asked_by": str(row.asked_by), **shape, "items": items}


def _store(store: SeenStore) -> dict[str, object]:
    row = store.row
    return {
        "host": store.host.name,
        "pick": store.pick,
        "observed_at": row.seen_at if row else None,
        "problem": row.problem if row else "",
        "unfinished": store.leftovers,
        "unfinished_bytes": store.leftover_bytes,
        "images": [_image(image) for image in store.images],
    }


def _image(image: SeenImage) -> dict[str, object]:
    return {
        "pick": image.pick,
        "name": image.stored.name,
        "kind": image.stored.kind,
        "label": image.label,
        "bytes": image.stored.disk_bytes,
        "unused": image.is_unused,
        "kept": image.kept,
        "testbeds": [testbed.full_name for testbed, _ in image.testbeds],
        "others": list(image.others),
    }
