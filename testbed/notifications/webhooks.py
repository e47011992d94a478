"""Calls users' webhooks: signed as Standard Webhooks says, and to public addresses only.

`outside.py` judges the address of a name that was resolved once, and that is called.
Networks that are allowed besides are the admin's, `TESTBED_WEBHOOK_NETWORKS`; the lab's
own hosts are never called.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import socket
import ssl
from collections.abc import Collection, Mapping
from functools import cache

import httpx
from django.conf import settings

from orchestration.errors import TestbedError
from orchestration.tls import lenient
from testbed.models.notifications.choices import MOST_ADDRESS
from testbed.outside import Address, AddressRefused, addresses_in, choose

NETWORKS_SETTING = "TESTBED_WEBHOOK_NETWORKS"
TIME_LIMIT_S = 15.0
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
    refused: Collection[Address],
    limit_s: float = TIME_LIMIT_S,
    trust: ssl.SSLContext | None = None,
) -> str:
    """Call a webhook once; return how it answered. Raises: WebhookRefused.

    `number` names the delivery and stays the same when it is repeated; `at` is the time
    of this attempt, in seconds since 1970. `refused` are addresses that are never called.
    `trust` has the authorities of certificates, in place of those of `trusted`.
    """
    content = json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "testbed",
        "webhook-id": number,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(secret, number, at, content),
    }
    try:
        call = _send(httpx.URL(url), headers, content, refused, trust or trusted())
        return asyncio.run(asyncio.wait_for(call, limit_s))
    except AddressRefused as exc:
        raise WebhookRefused(exc.message, hint=exc.hint) from exc
    except TimeoutError:
        problem = f"It did not answer within {limit_s:.0f} s."
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as exc:
        problem = _problem(exc)
    raise WebhookRefused(problem) from None


@cache
def trusted() -> ssl.SSLContext:
    """Return the public authorities, and those that the worker's machine trusts."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return lenient(context)


def _problem(exc: BaseException) -> str:
    """Return an error in words, that of a certificate without OpenSSL's own."""
    causes: list[BaseException] = [exc]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"Its certificate is not accepted: {one.verify_message.rstrip('.')}."
    return f"It could not be called: {str(exc) or type(exc).__name__}"


async def _send(
    url: httpx.URL,
    headers: Mapping[str, str],
    content: bytes,
    refused: Collection[Address],
    trust: ssl.SSLContext,
) -> str:
    async with httpx.AsyncClient(
        trust_env=False, timeout=TIME_LIMIT_S, verify=trust
    ) as client:
        address = await _resolve(url, refused)
        request = client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            headers={"Host": url.netloc.decode(), **headers},
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


async def _resolve(url: httpx.URL, refused: Collection[Address]) -> Address:
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    allowed = settings.WEBHOOK_NETWORKS
    return choose(addresses_in(found), allowed, NETWORKS_SETTING, refused=refused)
