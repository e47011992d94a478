"""A real SMTP server of this machine, which keeps the mails that it gets."""

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Receiver(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as one delivery needs; refuses the address `nobody@…`."""

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                self._take()
            elif verb == "RCPT" and "nobody@" in line:
                self._say("550 no such user")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _take(self) -> None:
        lines = []
        while (line := self.rfile.readline().decode()).strip() != ".":
            lines.append(line)
        self.server.received.append("".join(lines))
        self._say("250 taken")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server(
    settings: object, certificate: Path | None = None
) -> Iterator[list[str]]:
    """Serve, and let the product send its mails here; yield what came.

    With a certificate the connections are of TLS.
    """
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receiver) as server:
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            settings.EMAIL_USE_SSL = True
        server.received = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings.EMAIL_BACKEND = "testbed.notifications.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        try:
            yield server.received
        finally:
            server.shutdown()
            thread.join()
