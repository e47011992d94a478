"""The testbed hosts as last observed, and the end of one."""

from typing import Any

from django.http import HttpResponse
from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act, is_admin, require_admin, require_scope
from testbed.access.visibility import Request, host_for
from testbed.api.shapes import host_json
from testbed.hosts.editing import remove_host
from testbed.models import Host
from testbed.pages.overview import guests_on_hosts

router = Router(tags=["hosts"])


class HostList(BaseModel):
    """All hosts, main first; docs/protocol.md has the keys."""

    items: list[dict[str, Any]]
    count: int


@router.get("/hosts", response=HostList)
def list_hosts(request: Request) -> dict[str, object]:
    """List the hosts; lab admins also get the place of their SSH."""
    require_scope(request.user, Act.SEE)
    counts, for_admin = guests_on_hosts(), is_admin(request.user)
    items = [
        host_json(host, counts.get(host.name, 0), for_admin=for_admin)
        for host in Host.objects.all()
    ]
    return {"items": items, "count": len(items)}


@router.get("/hosts/{host}", response=dict[str, Any])
def read_host(request: Request, host: str) -> dict[str, object]:
    """Show one host."""
    require_scope(request.user, Act.SEE)
    found = host_for(request, host)
    guests = guests_on_hosts().get(found.name, 0)
    return host_json(found, guests, for_admin=is_admin(request.user))


@router.delete("/hosts/{host}", response={204: None}, operation_id="remove_host")
def drop_host(request: Request, host: str) -> HttpResponse:
    """Remove a host that no testbed uses; nothing on it is changed."""
    require_admin(request.user)
    remove_host(host_for(request, host), request.user.get_username())
    return HttpResponse(status=204)
