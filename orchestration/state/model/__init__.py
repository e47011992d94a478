"""The state: everything that a spec means on our hosts, decided and complete.

Built by `state.build` from a Spec, an Identity, hosts and a catalogue; read by the
plan, the providers' builders, the instructions and the web's diagram. It holds all
names, hosts, MACs, addresses, paths and tunnel ids. Only `Markers` change afterwards:
`project/folder.py` writes one after each event. Units are in the names; addresses and
subnets are their usual text forms.
"""

from orchestration.state.model.guests import (
    GoldenState,
    GuestState,
    InterfaceState,
    ManagementInterface,
    Markers,
    ScriptState,
)
from orchestration.state.model.hosts import (
    Claim,
    ClaimKind,
    Datapath,
    DomainType,
    HostKind,
    HostNetwork,
    HostState,
)
from orchestration.state.model.network import (
    BridgeState,
    HostPortState,
    LinkKind,
    LinkState,
    ManagementState,
    NatState,
    NetworkState,
    PatchState,
    Reservation,
    TunnelEnd,
    TunnelState,
)
from orchestration.state.model.state import SCHEMA_VERSION, State

__all__ = [
    "SCHEMA_VERSION",
    "BridgeState",
    "Claim",
    "ClaimKind",
    "Datapath",
    "DomainType",
    "GoldenState",
    "GuestState",
    "HostKind",
    "HostNetwork",
    "HostPortState",
    "HostState",
    "InterfaceState",
    "LinkKind",
    "LinkState",
    "ManagementInterface",
    "ManagementState",
    "Markers",
    "NatState",
    "NetworkState",
    "PatchState",
    "Reservation",
    "ScriptState",
    "State",
    "TunnelEnd",
    "TunnelState",
]
