"""The load of a guest or a host over time; docs/protocol.md has the keys."""

from typing import Any

from ninja import Router

from testbed.access.permissions import Act, require_scope
from testbed.access.visibility import Request, host_for
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.pages.guests.page import find_guest
from testbed.samples.charts import guest_load, host_load
from testbed.samples.reading import Period

router = Router(tags=["loads"])


@router.get("/testbeds/{account}/{name}/guests/{guest}/load", response=dict[str, Any])
def read_guest_load(
    request: Request,
    account: str,
    name: str,
    guest: str,
    period: Period = Period.HOUR,
) -> dict[str, object]:
    """Show the samples of a guest in the last hour or week."""
    testbed = testbed_of(request, account, name, Act.SEE)
    found = find_guest(testbed, guest)
    if found is None:
        raise Missing(f"Testbed {testbed} has no guest {guest!r}.")
    return guest_load(testbed, guest, found.guest.memory_mib, period).to_json()


@router.get("/hosts/{host}/load", response=dict[str, Any])
def read_host_load(
    request: Request, host: str, period: Period = Period.HOUR
) -> dict[str, object]:
    """Show the samples of a host in the last hour or week."""
    require_scope(request.user, Act.SEE)
    return host_load(host_for(request, host), period).to_json()
