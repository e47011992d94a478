"""Forges on this machine: a real sshd, and git-http-backend behind real TLS.

Both listen on loopback and serve the bare repositories of one folder.
"""

import datetime
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestration.project.keys import generate_key_pair
from tests.testbed.sources.repositories import ENVIRONMENT
from tests.waiting import wait_until

BACKEND = "/usr/lib/git-core/git-http-backend"
SSHD = "/usr/sbin/sshd"
SSHD_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/allowed
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


# A server's own words, in the form of an error of git's protocol.
_WORDS = b"ERR Host key verification failed\n"
LIE = b"001e# service=git-upload-pack\n0000%04x%s0000" % (len(_WORDS) + 4, _WORDS)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class SshForge:
    """A running sshd that lets the keys in `allowed` in."""

    folder: Path
    port: int

    def allow(self, public_line: str) -> None:
        """Let a deploy key fetch, and do nothing else."""
        only = 'restrict,command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\""'
        (self.folder / "allowed").write_text(f"{only} {public_line}\n")

    def refuse(self, public_line: str, said: str) -> None:
        """Let a deploy key in and refuse what it asks for, as gitolite and GitHub do."""
        only = f'restrict,command="echo {said} >&2; exit 1"'
        (self.folder / "allowed").write_text(f"{only} {public_line}\n")

    def change_key(self) -> None:
        """Give it another host key: an intruder in its place."""
        (self.folder / "host_key").write_bytes(generate_key_pair("").private_openssh)


@contextmanager
def ssh_forge(folder: Path) -> Iterator[SshForge]:
    """Run an sshd for a while."""
    folder.mkdir(mode=0o755)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    found = SshForge(folder, free_port())
    (folder / "host_key").touch(mode=0o600)
    found.change_key()
    (folder / "allowed").touch()
    (folder / "config").write_text(
        SSHD_CONFIG.format(folder=folder, port=found.port), encoding="utf-8"
    )
    words = [SSHD, "-D", "-e", "-f", str(folder / "config")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(words, stderr=log) as server,
    ):
        try:
            wait_until(lambda: _answers(found.port))
            yield found
        finally:
            server.terminate()
            server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class HttpForge(BaseHTTPRequestHandler):
    """Serves repositories by git-http-backend; some paths lead elsewhere."""

    root: Path
    asked: list[str]

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._serve(self.rfile.read(length))

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self, body: bytes) -> None:
        self.asked.append(self.path)
        path, _, query = self.path.partition("?")
        if path.startswith("/private/"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
            return
        if path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved/", "/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path.startswith("/lying/"):
            self.send_response(200)
            kind = "application/x-git-upload-pack-advertisement"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(LIE)))
            self.end_headers()
            self.wfile.write(LIE)
            return
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            [BACKEND], input=body, env=environment, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().splitlines()]
        headers = {name.lower(): value for name, value in lines}
        self.send_response(int(headers.pop("status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def https_forge(root: Path, folder: Path) -> Iterator[tuple[int, Path, list[str]]]:
    """Serve repositories; give the port, the certificate, and the paths asked for."""
    folder.mkdir()
    certificate = _certificate(folder)
    asked: list[str] = []
    handler = type("Handler", (HttpForge,), {"root": root, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], certificate, asked
        finally:
            server.shutdown()
            thread.join()


def _certificate(folder: Path) -> Path:
    """Make a certificate of `localhost` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    found = folder / "certificate.pem"
    found.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return found


def is_root() -> bool:
    """Return whether this is root, as workers are."""
    return os.geteuid() == 0
