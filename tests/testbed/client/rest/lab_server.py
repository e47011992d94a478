"""A small server of one run, behind TLS or not, with an authority, and a proxy.

The certificate is for `lab.test`, a name that only the proxy knows, and 127.0.0.1.
"""

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from testbed.client.rest.versions import VERSION

NAME = "lab.test"
SPOKEN = ".".join(map(str, VERSION))
RUN = 7
TESTBED = "olive/lab"
DAY = datetime.timedelta(days=1)


class Authority:
    """An authority in a folder; `file` is its certificate, for SSL_CERT_FILE."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab's own")])
        self.file = folder / "authority.pem"
        now = datetime.datetime.now(datetime.UTC)
        builder = self._builder(self._name, self._key, now + DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        signed = builder.sign(self._key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def context(self, *names: str, days: int = 1) -> ssl.SSLContext:
        """Return a server's TLS for names, valid for days; in the past below zero."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.datetime.now(datetime.UTC) + days * DAY
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        holders: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        holders.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        signed = (
            self._builder(subject, key, until)
            .add_extension(x509.SubjectAlternativeName(holders), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        file = self._folder / "server.pem"
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(private + signed.public_bytes(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        until: datetime.datetime,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - 10 * DAY)
            .not_valid_after(until)
        )


def end_at_once(connection: ServerConnection) -> None:
    """Tell the end of the run."""
    end = {"type": "run", "status": "succeeded", "message": "", "hint": ""}
    connection.send(json.dumps(end))


@contextmanager
def lab_server(
    tls: ssl.SSLContext | None,
    *,
    version: str = SPOKEN,
    tell: Callable[[ServerConnection], None] = end_at_once,
) -> Iterator[int]:
    """Serve a signed-in user and one run, which `tell` tells; yield the port."""
    run = {"run": RUN, "instructions": [], "status": "succeeded"}
    answers = {
        "/api/v1/openapi.json": {"info": {"version": version}},
        "/api/v1/me": {"account": "olive", "scopes": ["run"]},
        f"/api/v1/runs/{RUN}": run,
    }

    def answered(connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/ws/"):
            return None
        found = answers.get(urlsplit(request.path).path)
        code = 404 if found is None else 200
        return connection.respond(code, json.dumps(found or {"detail": "Not here."}))

    def follow(connection: ServerConnection) -> None:
        connection.recv()
        tell(connection)

    with serve(follow, "127.0.0.1", 0, ssl=tls, process_request=answered) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


class Proxy:
    """An HTTP proxy on loopback that joins each CONNECT to one port, or refuses it."""

    def __init__(self, target: int, *, refuses: bool = False) -> None:
        self._target = target
        self._refuses = refuses
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        # A client that is done with its test resets the connection.
        with suppress(OSError), client, client.makefile("rb") as lines:
            self.asked.append(lines.readline().decode().strip())
            while lines.readline().strip():
                pass
            if self._refuses:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                back = threading.Thread(
                    target=_copy, args=(server, client), daemon=True
                )
                back.start()
                _copy(client, server)
                back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
