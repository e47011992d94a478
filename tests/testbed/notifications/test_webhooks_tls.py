"""Webhooks over TLS, with a real server: whose certificates are accepted.

The worker connects to the address that it judged, and asks for the name of the URL.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestration.tls import lenient
from testbed.notifications.webhooks import WebhookRefused, new_secret, send, trusted
from tests.testbed.certificates import Authority, self_signed
from tests.testbed.notifications.receiver import Receiver, receiving

Serve = Callable[[Path], Receiver]


@pytest.fixture
def serve(settings: object) -> Iterator[Serve]:
    """Start receivers that show the certificate in a file."""
    settings.WEBHOOK_NETWORKS = (IPv4Network("127.0.0.0/8"),)
    with ExitStack() as stack:

        def start(certificate: Path) -> Receiver:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            return stack.enter_context(receiving(tls))

        yield start


@pytest.fixture(scope="module", name="authority")
def _authority() -> Authority:
    return Authority.new()


def call(url: str, authority: Authority) -> str:
    trust = lenient(ssl.create_default_context(cadata=authority.pem))
    return send(url, new_secret(), "msg_1", 1, {"a": 1}, refused=(), trust=trust)


def test_certificate_of_the_name_is_accepted(
    serve: Serve, authority: Authority, tmp_path: Path
):
    receiver = serve(authority.sign(tmp_path / "a.pem", "localhost"))

    assert call(receiver.url, authority) == "It answered 204."

    ((headers, content),) = receiver.got
    assert headers["host"] == f"localhost:{receiver.port}"
    assert content == b'{"a": 1}'


@pytest.mark.parametrize(
    ("signed_for", "called", "said"),
    [
        ("other.example.org", "localhost", "Hostname mismatch"),
        ("127.0.0.1", "localhost", "Hostname mismatch"),
        ("localhost", "127.0.0.1", "IP address mismatch"),
    ],
)
def test_certificate_of_another_name_is_refused(
    serve: Serve,
    authority: Authority,
    tmp_path: Path,
    signed_for: str,
    called: str,
    said: str,
):
    receiver = serve(authority.sign(tmp_path / "a.pem", signed_for))
    url = receiver.url.replace("localhost", called)

    with pytest.raises(WebhookRefused, match=said) as refused:
        call(url, authority)

    assert refused.value.message.startswith("Its certificate is not accepted: ")
    assert receiver.got == []


def test_certificate_that_signs_itself_is_refused(
    serve: Serve, authority: Authority, tmp_path: Path
):
    receiver = serve(self_signed(tmp_path / "a.pem", "localhost"))

    with pytest.raises(WebhookRefused) as refused:
        call(receiver.url, authority)

    said = "Its certificate is not accepted: self-signed certificate."
    assert refused.value.message == said
    assert receiver.got == []


def test_certificate_that_has_ended_is_refused(
    serve: Serve, authority: Authority, tmp_path: Path
):
    ended = authority.sign(tmp_path / "a.pem", "localhost", ends_in=timedelta(hours=-1))
    receiver = serve(ended)

    with pytest.raises(WebhookRefused, match="certificate has expired"):
        call(receiver.url, authority)

    assert receiver.got == []


def test_authority_that_the_machine_does_not_know_is_refused(
    serve: Serve, authority: Authority, tmp_path: Path
):
    receiver = serve(authority.sign(tmp_path / "a.pem", "localhost"))

    with pytest.raises(WebhookRefused, match="unable to get local issuer certificate"):
        send(receiver.url, new_secret(), "msg_1", 1, {}, refused=())

    assert receiver.got == []
    assert trusted().cert_store_stats()["x509_ca"] > 50


def test_authority_that_the_machine_knows_is_accepted(
    serve: Serve, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    receiver = serve(authority.sign(tmp_path / "a.pem", "localhost"))
    found = trusted.__wrapped__()  # not the one that is kept

    said = send(receiver.url, new_secret(), "msg_1", 1, {}, refused=(), trust=found)

    assert said == "It answered 204."


def test_server_without_tls_is_not_called_in_the_clear(
    authority: Authority, settings: object
):
    settings.WEBHOOK_NETWORKS = (IPv4Network("127.0.0.0/8"),)
    with receiving() as receiver:
        url = receiver.url.replace("http://", "https://")
        with pytest.raises(WebhookRefused, match="could not be called"):
            call(url, authority)

        assert receiver.got == []
