"""Trust in a server's certificate, and what to say of a server that is not reached.

Trusted are the authorities of the system, into which a lab installs its own, or those
of SSL_CERT_FILE and SSL_CERT_DIR; those that Mozilla trusts, which httpx brings, where
the system has none. Requests and websockets trust the same, and take the same proxies.
"""

import os
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from orchestration.errors import TestbedError
from orchestration.tls import lenient
from testbed.client.rest.problems import ServerUnreachable

_NUMBER = re.compile(r"\[Errno -?[0-9]+\] ")
_FILE = "SSL_CERT_FILE"


def trusted() -> ssl.SSLContext:
    """Return what verifies servers. Raises: TestbedError (SSL_CERT_FILE is no file)."""
    named = os.environ.get(_FILE, "")
    if named and not Path(named).is_file():
        raise TestbedError(
            f"{_FILE} names {named}, which is no file.",
            hint="Name the file with the certificate of the lab's authority.",
        )
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        return lenient(ssl.create_default_context())
    return lenient(httpx.create_ssl_context())


def unreachable(url: str, exc: Exception) -> ServerUnreachable:
    """Return the exception of a server that does not answer, or is not trusted."""
    refused = _refused_certificate(exc)
    if refused is not None:
        reason = refused.verify_message.removesuffix(".")
        return ServerUnreachable(
            f"The certificate of {url} is not trusted: {reason}.",
            hint="Name the file with the certificate of the lab's authority in "
            f"{_FILE}, or install it on this machine.",
        )
    reason = reason_of(exc)
    proxy = proxy_of(url)
    if proxy is None:
        return ServerUnreachable(
            f"{url} does not answer: {reason}.",
            hint="Is the address right, and does the server run?",
        )
    shown = httpx.URL(proxy).copy_with(username="", password="")  # nosec B106
    return ServerUnreachable(
        f"{url} cannot be reached through the proxy {shown}: {reason}.",
        hint="Does the proxy allow it? Name hosts without a proxy in NO_PROXY.",
    )


def unusable_proxy(exc: Exception) -> TestbedError:
    """Return the exception of a proxy of a kind that is not known."""
    return TestbedError(
        f"The proxy of the environment cannot be used: {reason_of(exc)}.",
        hint="Name an HTTP proxy in HTTPS_PROXY, or hosts without a proxy in NO_PROXY.",
    )


def reason_of(exc: Exception) -> str:
    """Return a failed connection's words, without numbers of the system and full stop."""
    return _NUMBER.sub("", str(exc) or type(exc).__name__).removesuffix(".")


def _refused_certificate(
    exc: BaseException | None,
) -> ssl.SSLCertVerificationError | None:
    """Return the failed verification under an exception of httpx or websockets."""
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for an address, with its scheme."""
    place = urlsplit(url)
    proxies = getproxies()
    found = proxies.get(place.scheme) or proxies.get("all")
    if not found or proxy_bypass(place.hostname or ""):
        return None
    return found if "://" in found else f"http://{found}"
