"""The image catalogue: what a YAML may name, and the images that users saved of guests."""

from datetime import datetime

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from pydantic import BaseModel

from testbed.access.permissions import (
    Act,
    OwnAct,
    require_admin,
    require_scope,
)
from testbed.access.visibility import Request
from testbed.api.keyed import KEYED
from testbed.api.paging import Paging, page_of
from testbed.api.places import testbed_of
from testbed.api.runs import Started, started
from testbed.api.wishes import Wish, Words
from testbed.images.catalogue import deletable_images, image_json, visible_images
from testbed.images.saved import delete_saved, share_with_all
from testbed.models import Run, SavedImage
from testbed.runs.starting import start_saving
from testbed.testbeds.findings import installed_catalogue

router = Router(tags=["images"])


class ImageShape(BaseModel):
    """A saved image; `origin` is the guest of then, empty where it is not the user's."""

    id: int
    name: str
    owner: str
    shared: bool
    ready: bool
    bytes: int
    sha256: str
    account: str
    origin: str
    created_at: datetime


class ImageList(BaseModel):
    """A page of saved images, and the names of those that are installed."""

    items: list[ImageShape]
    count: int
    installed: list[str]


class SavingWish(Wish):
    """The guest that is saved, the image's name, and whether the guest may be stopped."""

    guest: Words
    name: Words
    shut_down: bool = False


class SharingWish(Wish):
    """Whether all users may name an image; `confirm` where others need it."""

    shared: bool
    confirm: Words = ""


@router.get("/images", response=ImageList)
def list_images(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List the images that the user's YAMLs may name."""
    require_scope(request.user, Act.SEE)
    rows = visible_images(request.user).kept().select_related("owner")
    found, count = page_of(request, response, rows, paging)
    return {
        "items": [image_json(one, request.user) for one in found],
        "count": count,
        "installed": [image.name for image in installed_catalogue().values()],
    }


@router.post(
    "/testbeds/{account}/{name}/images",
    response={202: Started},
    openapi_extra=KEYED,
)
def save_image(
    request: Request, account: str, name: str, wish: SavingWish
) -> HttpResponse:
    """Save a guest's disk as an image of the user's."""
    testbed = testbed_of(request, account, name, Act.SAVE_IMAGE)

    def start() -> Run:
        names = {wish.guest: wish.name.strip()}
        return start_saving(testbed, request.user, names, shut_down=wish.shut_down)

    return started(request, start)


@router.delete("/images/{int:number}", response={204: None})
def delete_image(request: Request, number: int, confirm: str = "") -> HttpResponse:
    """Delete an image of the user's; a lab admin deletes any. `confirm` is asked for."""
    require_scope(request.user, OwnAct.IMAGES)
    image = get_object_or_404(deletable_images(request.user), pk=number)
    delete_saved(image, request.user, confirm=confirm)
    return HttpResponse(status=204)


@router.put("/images/{int:number}/shared", response=ImageShape)
def share_image(request: Request, number: int, wish: SharingWish) -> dict[str, object]:
    """Let all users name an image, or its owner alone again."""
    require_admin(request.user)
    image = get_object_or_404(SavedImage.objects.ready(), pk=number)
    share_with_all(image, request.user, is_shared=wish.shared, confirm=wish.confirm)
    image.refresh_from_db()
    return image_json(image, request.user)
