"""Tells from which address an act comes; empty where no client asked for it."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest, HttpResponse

# As long as an address of IPv6.
MAX_ADDRESS = 45
Respond = Callable[[HttpRequest], HttpResponse]
_address: ContextVar[str] = ContextVar("address", default="")


def address_now() -> str:
    """Return the address of the client whose request or websocket is served."""
    return _address.get()


def address_of(request: HttpRequest | None) -> str:
    """Return the client's address; Daphne reads it from its proxy's header."""
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    return str(address)[:MAX_ADDRESS]


# The part of an address of IPv6 that is a client's own network.
CLIENT_NETWORK_BITS = 64


def client_of(address: str) -> str:
    """Return what tells clients apart: of IPv6 the network, as a client has all of it."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    packed = found.packed  # without a zone
    return str(ip_network((packed, CLIENT_NETWORK_BITS), strict=False))


def note_address(respond: Respond) -> Respond:
    """Note the address of each request (middleware)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        token = _address.set(address_of(request))
        try:
            return respond(request)
        finally:
            _address.reset(token)

    return middleware


def note_address_of_socket(scope: Mapping[str, object]) -> None:
    """Note the address of a websocket, for its task and those that it starts."""
    client = scope.get("client")
    host = client[0] if isinstance(client, (list, tuple)) and client else ""
    _address.set(str(host)[:MAX_ADDRESS])
