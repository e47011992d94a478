"""The `ovn` part of `network`: logical switches and routers, as written.

The same models are the internal form, because there is one way to write them. Used by
`schema.py` and `rules/switches.py`. Values are text here; the checks parse the
addresses.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, model_validator

from orchestration.compose.language.entry import (
    Address,
    Entry,
    LowerCase,
    exactly_one,
    one_of,
)


def _empty_map(value: object) -> object:
    return {} if value is None else value


class InternalPort(Entry):
    """A port of a switch for something that is plugged in on a host."""

    ip: Address = None
    """An address of the switch's subnet without a mask, or `dynamic`."""
    mac: LowerCase | None = None
    """Six pairs of hexadecimal digits; left out it is derived."""
    network_name: str | None = None
    """The provider network of the port."""


class LocalnetPort(Entry):
    """A port of a switch that leads to a network of the hosts."""

    network_name: str
    """The name of that network in the hosts' bridge mappings, such as `public`."""


class SwitchPort(Entry):
    """A port of a switch besides those of machines and routers."""

    model_config = one_of("internal", "localnet")

    name: str
    """Unique among all ports."""
    chassis: str | None = None
    """The testbed host that an `internal` port is on."""
    internal: InternalPort | None = None
    """A port on a host."""
    localnet: LocalnetPort | None = None
    """A port to a network of the hosts."""

    check_one = model_validator(mode="after")(exactly_one("internal", "localnet"))


class Switch(Entry):
    """A logical switch."""

    subnet: str
    """An IPv4 network with its mask, such as `10.0.0.0/24`."""
    ports: tuple[SwitchPort, ...] = ()
    """Further ports; those of machines and routers come by themselves."""


class RouterPort(Entry):
    """A port of a router, with its peer on a switch."""

    name: str
    """Unique among all ports."""
    mac: LowerCase | None = None
    """Six pairs of hexadecimal digits; left out it is derived."""
    gateway_ip: str
    """The router's address on the switch with its mask, such as `10.0.0.1/24`."""
    switch: str
    """The switch that the port is plugged into."""
    set_gateway_chassis: str | None = None
    """The testbed host that traffic to the outside goes through."""


class StaticRoute(Entry):
    """A route of a router."""

    prefix: str
    """Where to: a network with its mask, `0.0.0.0/0` for everything."""
    nexthop: str
    """The address to send it to."""


class NatType(StrEnum):
    """How a router translates addresses."""

    SNAT = "snat"
    DNAT_AND_SNAT = "dnat_and_snat"


class Nat(Entry):
    """One translation of a router."""

    nat_type: NatType
    """`snat` for many guests behind one address, `dnat_and_snat` for one to one."""
    external_ip: str
    """The address that is seen outside, without a mask."""
    logical_ip: str
    """The address or network inside."""


class AddressRange(Entry):
    """Addresses from one to another, both included."""

    from_: Annotated[str, Field(alias="from")]
    """The first address."""
    to: str
    """The last address."""


class Dhcp(Entry):
    """Addresses for the `dynamic` interfaces of a switch."""

    switch: str
    """A switch that this router has a port on."""
    exclude_ips: AddressRange
    """Addresses that are never handed out."""


class Router(Entry):
    """A logical router."""

    ports: tuple[RouterPort, ...] = ()
    """Its ports, each on a switch."""
    static_routes: tuple[StaticRoute, ...] = ()
    """Its routes besides those to its own networks."""
    nat: tuple[Nat, ...] = ()
    """Its translations."""
    dhcp: tuple[Dhcp, ...] = ()
    """The switches on which it hands out addresses."""


class AclRule(Entry):
    """One rule of an access control list."""

    direction: Literal["to-lport", "from-lport"]
    """Seen from the switch: towards the port, or coming from it."""
    priority: Annotated[StrictInt, Field(ge=-32768, le=32767)]
    """0 to 32767; the highest that matches wins."""
    match: str
    """An OVN expression, such as `ip4.src == 10.0.0.0/24`."""
    action: Literal[
        "allow-related", "allow-stateless", "allow", "drop", "pass", "reject"
    ]
    """The action for matching packets."""


class Acl(Entry):
    """Access control lists by switch."""

    apply_deny_all: StrictBool = False
    """Drop whatever no rule allows."""
    switches: dict[str, tuple[AclRule, ...]]
    """The rules of each switch."""


class Ovn(Entry):
    """Logical switches and routers, and who may talk to whom."""

    switches: Annotated[dict[str, Switch], BeforeValidator(_empty_map)] = Field(
        default_factory=dict
    )
    """The switches by name."""
    routers: Annotated[dict[str, Router], BeforeValidator(_empty_map)] = Field(
        default_factory=dict
    )
    """The routers by name."""
    acl: Acl | None = None
    """Access control lists."""
