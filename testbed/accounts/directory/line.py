"""Connections to the directory, each with an end that nothing puts off.

libldap 2.5 with GnuTLS, as Debian has it, does not end a TLS handshake with a server
that accepts and never answers, and takes a processor all the time (seen). So the
handshake is Python's here, and libldap speaks over a pair of sockets with a thread that
carries the bytes until the end. libldap cannot open a connection by itself: the address
that it has is none.
"""

import logging
import selectors
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import ldap
from pyasn1.codec.ber import decoder
from pyasn1.error import PyAsn1Error, SubstrateUnderrunError
from pyasn1_modules.rfc2251 import LDAPMessage

from orchestration.tls import lenient
from testbed.environment import Directory

logger = logging.getLogger(__name__)
PORTS = {"ldap": 389, "ldaps": 636}
NAME = "directory"  # of the threads
NOWHERE = "ldapi://%2Fnowhere"
# Of one sign-in: some entries with a few attributes.
MOST_BYTES = 4 * 1024 * 1024
CHUNK = 65_536
# Of LDAP: the extended request 1.3.6.1.4.1.1466.20037, and the parts of its response.
START_TLS = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
MOST_RESPONSE = 4096
SUCCESS = 0


def connect(rule: Directory) -> Any:
    """Return a connection of libldap to the first server that answers.

    It takes `timeout_s` at most for each server, and its line ends `work_s` after that.
    Raises: ldap.SERVER_DOWN.
    """
    reasons = []
    for url in rule.urls:
        try:
            outer = _open(rule, url)
        except (OSError, PyAsn1Error) as exc:
            reasons.append(f"{url}: {exc}")
            continue
        inner, ours = socket.socketpair()
        end = time.monotonic() + rule.work_s
        work = (outer, ours, end)
        threading.Thread(target=_carry, args=work, name=NAME, daemon=True).start()
        with inner:
            # Its number alone is libldap's, which closes it.
            connection = ldap.initialize(NOWHERE, fileno=inner.detach())
        connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
        connection.set_option(ldap.OPT_REFERRALS, 0)
        return connection
    raise ldap.SERVER_DOWN({"desc": "no server answers", "info": "; ".join(reasons)})


def _open(rule: Directory, url: str) -> socket.socket:
    """Return a line to a server, with TLS unless `is_plain`. Raises: OSError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    end = time.monotonic() + rule.timeout_s
    line = socket.create_connection((host, port), timeout=rule.timeout_s)
    try:
        if rule.starts_tls:
            _start_tls(line, end)
        if rule.is_plain:
            return line
        context = lenient(ssl.create_default_context(cafile=rule.ca_file))
        line.settimeout(_left(end))
        return context.wrap_socket(line, server_hostname=host)
    except BaseException:
        line.close()
        raise


def _start_tls(line: socket.socket, end: float) -> None:
    line.sendall(START_TLS)
    message, rest = _response(line, end)
    answer = message["protocolOp"].getComponent()
    # Bytes after it would be taken for the server's own, though anybody may send them.
    if rest or "resultCode" not in answer or int(answer["resultCode"]) != SUCCESS:
        raise ConnectionError("it refused StartTLS")


def _response(line: socket.socket, end: float) -> tuple[Any, bytes]:
    """Return a message of LDAP, and what came after it."""
    text = b""
    while True:
        line.settimeout(_left(end))
        more = line.recv(MOST_RESPONSE - len(text))
        if not more:
            raise ConnectionError("it closed the connection in place of StartTLS")
        text += more
        with suppress(SubstrateUnderrunError):
            message, rest = decoder.decode(text, asn1Spec=LDAPMessage())
            return message, rest


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("it did not answer in time")
    return left


def _carry(outer: socket.socket, inner: socket.socket, end: float) -> None:
    """Carry bytes both ways until one side closes, or the end."""
    carried = 0
    with outer, inner, selectors.DefaultSelector() as ready, suppress(OSError):
        ready.register(outer, selectors.EVENT_READ, inner)
        ready.register(inner, selectors.EVENT_READ, outer)
        while carried < MOST_BYTES:
            for key, _ in ready.select(_left(end)):
                for chunk in _chunks(key.fileobj):
                    if not chunk:
                        return
                    carried += len(chunk)
                    key.data.settimeout(_left(end))
                    key.data.sendall(chunk)


def _chunks(line: Any) -> Any:
    """Yield what a line has now; an empty one: it was closed.

    TLS has messages of its own, after which there is nothing to read.
    """
    line.settimeout(0)
    with suppress(ssl.SSLWantReadError, BlockingIOError):
        while True:
            chunk = line.recv(CHUNK)
            yield chunk
            if not chunk:
                return
            line.settimeout(0)
