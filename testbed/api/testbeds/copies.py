"""Copies of testbeds, without or with the disks of their guests."""

from http import HTTPStatus

from django.http import HttpResponse
from ninja import Router

from testbed.access.names import require_name
from testbed.access.permissions import Act, require
from testbed.access.visibility import Request
from testbed.api.keyed import KEYED, Made, made_once
from testbed.api.places import address_of_run, testbed_of
from testbed.api.runs import Started, started_shape
from testbed.api.testbeds.testbeds import TestbedShape, made_testbed
from testbed.api.wishes import Wish, Words
from testbed.images import copies
from testbed.models import Testbed

router = Router(tags=["testbeds"])


class CopyWish(Wish):
    """The name of a copy; with `disks` it gets the disks of now."""

    name: Words
    disks: bool = False


class CopyStarted(Started):
    """A run that saves the disks for a copy, whose full name is `testbed`."""

    testbed: str


@router.post(
    "/testbeds/{account}/{name}/copies",
    response={201: TestbedShape, 202: CopyStarted},
    openapi_extra=KEYED,
)
def copy_testbed(
    request: Request, account: str, name: str, wish: CopyWish
) -> HttpResponse:
    """Copy a testbed. With its guests' disks it is a run, which shuts them down."""
    testbed = testbed_of(request, account, name, Act.COPY)
    if wish.disks:
        require(request.user, Act.SAVE_IMAGE, testbed)
    return made_once(request, lambda: _made(request, testbed, wish))


def _made(request: Request, testbed: Testbed, wish: CopyWish) -> Made:
    require_name(request.user, wish.name)
    if not wish.disks:
        found = copies.copy(testbed, request.user, wish.name)
        return made_testbed(request, found)
    run = copies.copy_with_disks(testbed, request.user, wish.name)
    body = {"testbed": f"{request.user}/{wish.name}", **started_shape(run)}
    return Made(body, address_of_run(run), HTTPStatus.ACCEPTED)
