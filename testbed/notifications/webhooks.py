"""Calls users' webhooks: signed as Standard Webhooks says, and to public addresses only.

The worker stands in the lab's networks, where users' addresses must not lead it: a name
is resolved once, its address is judged, and that address is called. Networks that are
allowed besides are the admin's, `TESTBED_WEBHOOK_NETWORKS`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import Iterable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

import httpx
from django.conf import settings

from orchestration.errors import TestbedError
from testbed.models.notifications.choices import MOST_ADDRESS

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
TIME_LIMIT_S = 15.0
# Only these are of the internet. Others stand for an IPv4 address, as those of RFC 4291,
# 6052 and 8215 do, or are of a site.
UNICAST = IPv6Network("2000::/3")
DOCUMENTATION = IPv6Network("3fff::/20")
PREFIX = "whsec_"
SECRET_BYTES = 32
MOST_PORT = 65_535


class WebhookRefused(TestbedError):
    """A webhook is not called, or did not take a delivery."""


def new_secret() -> str:
    """Return a secret in the form of Standard Webhooks."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_url(text: str) -> str:
    """Return an address as it is kept. Raises: WebhookRefused."""
    example = "Write it as https://chat.example.org/hooks/lab."
    text = text.strip()
    try:
        url = httpx.URL(text)
        port = url.port
    except (httpx.InvalidURL, ValueError):
        raise WebhookRefused("This is no address of a webhook.", hint=example) from None
    is_possible = port is None or 0 < port <= MOST_PORT
    if url.scheme not in ("https", "http") or not url.host or not is_possible:
        raise WebhookRefused("This is no address of a webhook.", hint=example)
    if url.userinfo:
        raise WebhookRefused("A webhook's address has no password.", hint=example)
    if len(text) > MOST_ADDRESS:
        raise WebhookRefused(f"The address has more than {MOST_ADDRESS} characters.")
    return text


def send(
    url: str,
    secret: str,
    number: str,
    at: int,
    body: Mapping[str, object],
    *,
    limit_s: float = TIME_LIMIT_S,
) -> str:
    """Call a webhook once; return how it answered. Raises: WebhookRefused.

    `number` names the delivery and stays the same when it is repeated; `at` is the time
    of this attempt, in seconds since 1970.
    """
    try:
        return asyncio.run(
            asyncio.wait_for(_send(httpx.URL(url), secret, number, at, body), limit_s)
        )
    except TimeoutError:
        problem = f"It did not answer within {limit_s:.0f} s."
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as exc:
        problem = f"It could not be called: {str(exc) or type(exc).__name__}"
    raise WebhookRefused(problem) from None


async def _send(
    url: httpx.URL, secret: str, number: str, at: int, body: Mapping[str, object]
) -> str:
    content = json.dumps(body).encode()
    headers = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "User-Agent": "testbed",
        "webhook-id": number,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(secret, number, at, content),
    }
    async with httpx.AsyncClient(trust_env=False, timeout=TIME_LIMIT_S) as client:
        address = await _resolve(url)
        request = client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            headers=headers,
            content=content,
            extensions={"sni_hostname": url.host},
        )
        # What it answers is of no use, and may be of any length.
        answer = await client.send(request, stream=True)
        await answer.aclose()
    if not answer.is_success:
        raise WebhookRefused(f"It answered {answer.status_code}.")
    return f"It answered {answer.status_code}."


def sign(secret: str, number: str, at: int, content: bytes) -> str:
    """Return the signature of a delivery, as Standard Webhooks defines it."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    text = f"{number}.{at}.".encode() + content
    digest = hmac.new(key, text, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


async def _resolve(url: httpx.URL) -> Address:
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(row[4][0]).partition("%")[0]) for row in found]
    return choose(addresses, settings.WEBHOOK_NETWORKS)


def choose(addresses: Iterable[Address], allowed: Iterable[Network]) -> Address:
    """Return the first address, when all may be called. Raises: WebhookRefused."""
    found = [_meant(address) for address in addresses]
    for address in found:
        is_allowed = any(address in network for network in allowed)
        if not is_allowed and not _is_public(address):
            raise WebhookRefused(
                "Its name leads to an address that is not public.",
                hint="A lab admin can allow its network with TESTBED_WEBHOOK_NETWORKS.",
            )
    if not found:
        raise WebhookRefused("Its name has no address.")
    return found[0]


def _meant(address: Address) -> Address:
    """Return the IPv4 address that one of IPv6 stands for, or the address itself."""
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address not in UNICAST
        or address in DOCUMENTATION
        or address.sixtofour is not None
        or address.teredo is not None
    ):
        return False
    return address.is_global and not address.is_multicast
