"""A websocket is let in from the site's own pages only: scheme, host and port count."""

import pytest

from testbed.websocket.origin import is_own


def scope(origin, host="localhost:8000", scheme="ws", **more):
    headers = {"origin": origin, "host": host, **more}
    pairs = [(k.encode(), v.encode()) for k, v in headers.items() if v is not None]
    return {"type": "websocket", "scheme": scheme, "headers": pairs}


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://localhost:8000", "localhost:8000", "ws"),
        ("https://localhost", "localhost", "wss"),
        ("http://[::1]:8000", "[::1]:8000", "ws"),
    ],
)
def test_own_page_is_let_in(origin, host, scheme):
    assert is_own(scope(origin, host, scheme))


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "http://localhost:9999",
        "http://localhost",
        "https://localhost:8000",
        "http://127.0.0.1:8000",
        "http://localhost:8000.evil.example",
        "file://",
    ],
)
def test_other_origin_is_refused(origin):
    assert not is_own(scope(origin))


@pytest.mark.parametrize("host", [None, "evil.example", "bad host"])
def test_host_that_is_not_ours_is_refused(host):
    assert not is_own(scope(f"http://{host}", host))


def test_proxy_that_ends_https_is_believed_where_it_is_configured(settings):
    forwarded = {"x-forwarded-proto": "https"}
    from_proxy = scope("https://localhost", "localhost", **forwarded)
    before = is_own(from_proxy)

    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    assert (before, is_own(from_proxy)) == (False, True)


def test_trusted_origin_is_let_in_though_the_proxy_drops_the_port(settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://localhost:8443"]

    assert is_own(scope("https://localhost:8443", "localhost"))
