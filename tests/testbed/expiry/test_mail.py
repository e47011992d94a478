"""The warning reaches a real SMTP server of this machine."""

import socketserver
import threading
from collections.abc import Iterator
from email import message_from_string

import pytest
from django.contrib.auth.models import User

from testbed.expiry.sweeping import expire_once
from testbed.models import Expiry, Testbed
from tests.testbed.expiry.conftest import HOUR, NOW


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


@pytest.fixture
def received(settings: object) -> Iterator[list[str]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receiver) as server:
        server.received = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        yield server.received
        server.shutdown()
        thread.join()


@pytest.fixture
def near(lab: Testbed, owner: User) -> Expiry:
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example")
    return Expiry.objects.create(testbed=lab, expires_at=NOW + 20 * HOUR)


def test_warning_is_delivered(near: Expiry, received: list[str]):
    expire_once(NOW)

    (text,) = received
    mail = message_from_string(text)
    assert mail["To"] == "olive@lab.example"
    assert mail["From"] == "testbeds@localhost"
    assert mail["Subject"] == "Testbed lab ends at 29 Nov 2026 12:00 UTC"
    assert "press Extend on its page" in mail.get_payload()


def test_refused_address_keeps_no_other_mail_back(
    near: Expiry, lab: Testbed, owner: User, stranger: User, received: list[str]
):
    User.objects.filter(pk=owner.pk).update(email="nobody@lab.example")
    User.objects.filter(pk=stranger.pk).update(email="sam@lab.example")
    other = Testbed.objects.create(
        owner=stranger, slug="other", number=8, condition="up"
    )
    Expiry.objects.create(testbed=other, expires_at=NOW + 21 * HOUR)

    assert expire_once(NOW)["warned"] == 2

    assert [message_from_string(text)["To"] for text in received] == ["sam@lab.example"]
