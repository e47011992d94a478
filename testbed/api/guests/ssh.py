"""The ways into guests for a user's own ssh."""

from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act, record_act
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.pages.overview import state_of
from testbed.ssh.config import (
    SshWay,
    config_text,
    known_hosts_text,
    ways_into,
    web_name,
)

router = Router(tags=["guests"])


class SshWayShape(BaseModel):
    """A guest with its account and the host that is passed through.

    `command` logs in. A key is empty while it is not known.
    """

    guest: str
    address: str
    user: str
    host_key: str
    jump_host: str
    jump: str
    jump_host_key: str
    command: str


class SshWays(BaseModel):
    """All ways, and the same as the two files for `ssh -F`."""

    items: list[SshWayShape]
    ssh_config: str
    known_hosts: str


@router.get("/testbeds/{account}/{name}/ssh", response=SshWays)
def read_ssh(request: Request, account: str, name: str) -> dict[str, object]:
    """Show how ssh reaches the guests, with the keys that they reported."""
    testbed = testbed_of(request, account, name, Act.SSH)
    state, _ = state_of(testbed)
    if state is None:
        raise Missing(
            "Nothing was generated yet.", hint="Generate the artefacts first."
        )
    ways = ways_into(state, testbed.project, state.guests, web=web_name(request))
    record_act(request.user, Act.SSH, testbed, "took its SSH configuration")
    return {
        "items": [_shape(way) for way in ways],
        "ssh_config": config_text(ways),
        "known_hosts": known_hosts_text(ways),
    }


def _shape(way: SshWay) -> dict[str, object]:
    return {
        "guest": way.guest,
        "address": way.address,
        "user": way.user,
        "host_key": way.host_key,
        "jump_host": way.through.host,
        "jump": way.through.place,
        "jump_host_key": way.through.host_key,
        "command": way.line,
    }
