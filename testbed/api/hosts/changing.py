"""Acts of lab admins on hosts that are there: edited and drained."""

from http import HTTPStatus
from typing import Literal

from django.forms.models import model_to_dict
from django.http import HttpResponse, JsonResponse
from ninja import Field, Router
from pydantic import BaseModel

from orchestration.errors import TestbedError
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, host_for
from testbed.api.hosts.forms import require_valid
from testbed.api.problems import PRECONDITION_REQUIRED, Refused, problem_answer
from testbed.api.wishes import Wish, Words
from testbed.hosts.editing import FIELDS, save_edit
from testbed.hosts.forms import HostForm
from testbed.models import Host
from testbed.notifications.reservations import drain_and_tell, end_drain_and_tell

router = Router(tags=["administration"])
MOST_FACTOR = 10_000.0
IF_MATCH = {
    "parameters": [
        {
            "in": "header",
            "name": "If-Match",
            "schema": {"type": "string"},
            "description": "the ETag of the settings that are changed; `*`: any",
        }
    ]
}


class HostSettings(BaseModel):
    """The settings of a host that a lab admin may change."""

    address: str
    port: int
    user: str
    identity_file: str
    host_key: str
    tunnel_address: str | None
    projects_dir: str
    images_dir: str
    domain_type: str
    datapath: str
    compress_copies: bool
    has_firewall: bool
    vcpu_overcommit: float | None
    memory_overcommit: float | None


class HostChange(Wish):
    """The settings that change; what is left out stays."""

    address: Words = ""
    port: int = Field(22, ge=1, le=65535)
    user: Words = ""
    identity_file: Words = ""
    host_key: Words = ""
    tunnel_address: Words = ""
    projects_dir: Words = ""
    images_dir: Words = ""
    domain_type: Literal["kvm", "qemu"] = "kvm"
    datapath: Literal["system", "netdev"] = "system"
    compress_copies: bool = False
    has_firewall: bool = True
    vcpu_overcommit: float | None = Field(None, ge=0, le=MOST_FACTOR)
    memory_overcommit: float | None = Field(None, ge=0, le=MOST_FACTOR)


class DrainWish(Wish):
    """The reason, which pages show."""

    reason: Words = ""


@router.get("/hosts/{host}/settings", response=HostSettings)
def read_host_settings(request: Request, host: str) -> HttpResponse:
    """Show the settings of a host, with their `ETag`."""
    require_admin(request.user)
    return _settings(host_for(request, host))


@router.patch("/hosts/{host}/settings", response=HostSettings, openapi_extra=IF_MATCH)
def change_host_settings(
    request: Request, host: str, change: HostChange
) -> HttpResponse:
    """Change settings of a host as they were with the `ETag` in `If-Match`."""
    require_admin(request.user)
    found = host_for(request, host)
    seen = _seen(request, found)
    typed = model_to_dict(found, fields=FIELDS) | change.model_dump(exclude_unset=True)
    form = HostForm({**typed, "seen": seen}, instance=found)
    require_valid(form)
    by = request.user.get_username()
    if conflicts := save_edit(found, form.cleaned_data, seen, by):
        names = ", ".join(one.field for one in conflicts)
        problem = TestbedError(
            f"Another admin changed {found.name} since: {names}.",
            hint="Read the settings again, and repeat your change if it is still right.",
        )
        return problem_answer(problem, HTTPStatus.PRECONDITION_FAILED)
    return _settings(Host.objects.get(pk=found.pk))


@router.put("/hosts/{host}/drain", response={204: None})
def drain_host(request: Request, host: str, wish: DrainWish) -> HttpResponse:
    """Let what runs on a host go on, and start no new guest there."""
    require_admin(request.user)
    drain_and_tell(host_for(request, host), request.user, wish.reason)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@router.delete("/hosts/{host}/drain", response={204: None}, operation_id="end_drain")
def open_host(request: Request, host: str) -> HttpResponse:
    """Start new guests on a host again."""
    require_admin(request.user)
    end_drain_and_tell(host_for(request, host), request.user)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _settings(host: Host) -> HttpResponse:
    shape = model_to_dict(host, fields=FIELDS)
    answer = JsonResponse(HostSettings.model_validate(shape).model_dump())
    answer.headers["ETag"] = f'"{host.version}"'
    return answer


def _seen(request: Request, host: Host) -> int:
    """Return the version that a request changes. Raises: Refused (428, 412)."""
    tag = request.headers.get("If-Match", "").strip()
    if not tag:
        raise Refused(
            PRECONDITION_REQUIRED,
            "This change does not say which settings it changes.",
            hint="Send `If-Match` with the ETag that you read, or `*`.",
        )
    number = tag.strip('"')
    if tag == "*":
        return host.version
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise Refused(
            HTTPStatus.PRECONDITION_FAILED,
            "This is no ETag of these settings.",
            hint="Read the settings again.",
        )
    return int(number)
