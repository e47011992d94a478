"""Hosts that a lab admin is adding: begun, checked by a worker, confirmed, added."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Field, Router
from pydantic import BaseModel

from orchestration.transport.ssh.first_contact import host_key_of
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request
from testbed.api.hosts.forms import require_valid
from testbed.api.wishes import Wish, Words
from testbed.hosts.adding import (
    Row,
    ask_for_check,
    begin,
    confirm_key,
    discard,
    done,
    may_be_added,
    rows_of,
)
from testbed.hosts.forms import NewHostForm
from testbed.hosts.requirements import TITLES
from testbed.models import NewHost

router = Router(tags=["administration"])


class RequirementShape(BaseModel):
    """A requirement and what was found; `command` mends it."""

    key: str
    title: str
    required: bool
    outcome: str
    observed: str
    command: str
    on_main: bool
    checked_at: datetime | None


class NewHostShape(BaseModel):
    """A host that is being added; `fingerprint` is of the key that it showed."""

    name: str
    address: str
    port: int
    user: str
    main: bool
    status: str
    message: str
    fingerprint: str | None
    confirmed: bool
    may_be_added: bool
    requirements: list[RequirementShape]


class NewHostList(BaseModel):
    """All hosts that are being added."""

    items: list[NewHostShape]


class NewHostWish(Wish):
    """How a host is reached; what is left out is usual."""

    name: Words
    address: Words = ""
    port: int = Field(22, ge=1, le=65535)
    user: Words = "root"
    identity_file: Words | None = None
    tunnel_address: Words = ""
    projects_dir: Words | None = None
    images_dir: Words | None = None
    is_main: bool = False


class CheckWish(Wish):
    """The key of one requirement; empty: all."""

    requirement: Words = ""


class KeyWish(Wish):
    """The fingerprint that was compared with the host's own."""

    fingerprint: Words


@router.get("/new-hosts", response=NewHostList)
def list_new_hosts(request: Request) -> dict[str, object]:
    """List the hosts that are being added."""
    require_admin(request.user)
    rows = NewHost.objects.prefetch_related("findings")
    return {"items": [_shape(new) for new in rows]}


@router.post("/new-hosts", response={202: NewHostShape})
def begin_host(request: Request, wish: NewHostWish) -> HttpResponse:
    """Begin to add a host: a worker checks it. `Location` has its requirements."""
    require_admin(request.user)
    given = wish.model_dump(exclude_none=True)
    form = NewHostForm({**_usual(), **given})
    require_valid(form)
    begin(form.instance, request.user)
    return _accepted(request, form.instance)


@router.get("/new-hosts/{name}", response=NewHostShape, url_name="new-host")
def read_new_host(request: Request, name: str) -> dict[str, object]:
    """Show a host that is being added; it is gone once it is a host."""
    return _shape(_new(request, name))


@router.post("/new-hosts/{name}/check", response={202: NewHostShape})
def check_new_host(request: Request, name: str, wish: CheckWish) -> HttpResponse:
    """Ask for a check of all requirements, or of one."""
    wanted = wish.requirement if wish.requirement in TITLES else NewHost.ALL
    return _done(request, name, _asking(request, wanted), "checked it again")


@router.post("/new-hosts/{name}/confirm", response={202: NewHostShape})
def confirm_host_key(request: Request, name: str, wish: KeyWish) -> HttpResponse:
    """Pin the key whose fingerprint was compared."""
    by = request.user.get_username()
    pin = partial(confirm_key, fingerprint=wish.fingerprint, by=by)
    return _done(request, name, pin, f"confirmed its key {wish.fingerprint}")


@router.post("/new-hosts/{name}/add", response={202: NewHostShape})
def add_host(request: Request, name: str) -> HttpResponse:
    """Ask the worker to check all once more, and to add the host."""
    return _done(request, name, _asking(request, NewHost.ADD), "asked to add it")


@router.delete("/new-hosts/{name}", response={204: None})
def discard_new_host(request: Request, name: str) -> HttpResponse:
    """Forget a host that is being added; nothing on it was changed."""
    discard(_new(request, name), request.user)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _usual() -> dict[str, object]:
    """Return the values that the page's form shows first."""
    form = NewHostForm()
    fields = form.fields.items()
    return {name: form.get_initial_for_field(field, name) for name, field in fields}


def _new(request: Request, name: str) -> NewHost:
    require_admin(request.user)
    return get_object_or_404(NewHost, name=name)


def _asking(request: Request, wanted: str) -> Callable[[NewHost], None]:
    return partial(ask_for_check, wanted=wanted, by=request.user.get_username())


def _done(
    request: Request, name: str, act: Callable[[NewHost], None], what: str
) -> HttpResponse:
    new = _new(request, name)
    done(new, act, request.user, what)
    return _accepted(request, new)


def _accepted(request: Request, new: NewHost) -> HttpResponse:
    new.refresh_from_db()
    body = NewHostShape.model_validate(_shape(new)).model_dump_json()
    answer = HttpResponse(body, status=HTTPStatus.ACCEPTED)
    answer.headers["Content-Type"] = "application/json"
    answer.headers["Location"] = reverse("api:new-host", args=[new.name])
    return answer


def _shape(new: NewHost) -> dict[str, object]:
    rows = rows_of(new)
    return {
        "name": new.name,
        "address": new.address,
        "port": new.port,
        "user": new.user,
        "main": new.is_main,
        "status": new.status,
        "message": new.message,
        "fingerprint": host_key_of(new.seen_key).fingerprint if new.seen_key else None,
        "confirmed": bool(new.host_key),
        "may_be_added": may_be_added(rows),
        "requirements": [_requirement(row) for row in rows],
    }


def _requirement(row: Row) -> dict[str, object]:
    found = row.finding
    return {
        "key": row.requirement.key,
        "title": row.requirement.title,
        "required": row.requirement.is_required,
        "outcome": row.outcome,
        "observed": found.observed if found else "",
        "command": found.command if found else "",
        "on_main": found.on_main if found else False,
        "checked_at": found.checked_at if found else None,
    }
