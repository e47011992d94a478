"""The real `testbed` process at a server behind TLS, directly and through a proxy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import testbed.client
from testbed.client.rest.trust import reason_of, unreachable
from tests.testbed.client.rest.lab_server import (
    NAME,
    RUN,
    TESTBED,
    Authority,
    Proxy,
    lab_server,
)

CHECKOUT = Path(testbed.client.__file__).parents[2]
WITHOUT = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")
PATIENCE_S = 60
LOGIN = "login"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def port(authority: Authority) -> Iterator[int]:
    with lab_server(authority.context(NAME)) as found:
        yield found


@pytest.fixture
def proxy(port: int) -> Iterator[Proxy]:
    found = Proxy(port)
    yield found
    found.close()


def said(folder: Path, *words: str, code: int, **variables: object) -> str:
    """Run `testbed` with these variables of the environment; return all it printed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in (*WITHOUT, "SSL_CERT_DIR")
        and not name.startswith("TESTBED_")
    }
    environment |= {"PYTHONPATH": str(CHECKOUT), "XDG_CONFIG_HOME": str(folder)}
    environment |= {name: str(value) for name, value in variables.items()}
    done = subprocess.run(
        [sys.executable, "-m", "testbed.client.terminal.program", *words],
        cwd=folder,
        env=environment,
        input="tb_secret\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_server_of_an_unknown_authority_is_refused_with_a_way_out(
    port: int, tmp_path: Path
) -> None:
    url = f"https://127.0.0.1:{port}"

    text = said(tmp_path, LOGIN, url, code=1)

    assert f"The certificate of {url} is not trusted: unable to get" in text
    assert "SSL_CERT_FILE" in text
    assert text.count("\n") == 2
    assert not list(tmp_path.rglob("servers.json"))


def test_authority_that_is_named_is_trusted_by_requests_and_websockets(
    authority: Authority, port: int, tmp_path: Path
) -> None:
    url = f"https://127.0.0.1:{port}"
    trust = {"SSL_CERT_FILE": authority.file}

    assert f"Signed in at {url} as olive" in said(tmp_path, LOGIN, url, code=0, **trust)
    text = said(tmp_path, "attach", str(RUN), code=0, **trust)
    assert f"Run {RUN} succeeded." in text


def test_requests_and_websockets_go_through_the_proxy(
    authority: Authority, proxy: Proxy, tmp_path: Path
) -> None:
    url = f"https://{NAME}"
    way = {
        "SSL_CERT_FILE": authority.file,
        "HTTPS_PROXY": f"127.0.0.1:{proxy.port}",
    }

    assert f"Signed in at {url} as olive" in said(tmp_path, LOGIN, url, code=0, **way)
    asked = len(proxy.asked)
    assert f"Run {RUN} succeeded." in said(tmp_path, "attach", str(RUN), code=0, **way)
    assert set(proxy.asked) == {f"CONNECT {NAME}:443 HTTP/1.1"}
    assert len(proxy.asked) >= asked + 2


def test_proxy_that_refuses_is_named_without_its_password(
    authority: Authority, port: int, tmp_path: Path
) -> None:
    proxy = Proxy(port, refuses=True)
    address = f"http://olive:hidden@127.0.0.1:{proxy.port}"

    text = said(tmp_path, LOGIN, f"https://{NAME}", code=1, HTTPS_PROXY=address)

    proxy.close()
    assert f"cannot be reached through the proxy http://127.0.0.1:{proxy.port}" in text
    assert "403 Forbidden" in text
    assert "NO_PROXY" in text
    assert "hidden" not in text


def test_password_of_a_proxy_without_its_kind_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in WITHOUT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "olive:hidden@127.0.0.1:9")

    text = unreachable("https://lab.example.org", OSError("refused")).message

    assert "through the proxy http://127.0.0.1:9" in text
    assert "hidden" not in text


def test_reason_is_shown_without_its_number() -> None:
    both = "Multiple exceptions: [Errno 111] Refused, [Errno -2] Not known."

    assert reason_of(OSError(111, "Connection refused")) == "Connection refused"
    assert reason_of(OSError(both)) == "Multiple exceptions: Refused, Not known"
    assert reason_of(TimeoutError()) == "TimeoutError"


def test_host_of_no_proxy_is_asked_directly(
    authority: Authority, port: int, tmp_path: Path
) -> None:
    text = said(
        tmp_path,
        LOGIN,
        f"https://127.0.0.1:{port}",
        code=0,
        HTTPS_PROXY="http://127.0.0.1:9",
        NO_PROXY="127.0.0.1",
        SSL_CERT_FILE=authority.file,
    )

    assert "Signed in" in text


@pytest.mark.parametrize(
    ("names", "days", "reason"),
    [((NAME,), -1, "certificate has expired"), (("other.test",), 1, "mismatch")],
)
def test_certificate_that_is_wrong_is_refused_with_its_reason(
    authority: Authority, tmp_path: Path, names: tuple[str], days: int, reason: str
) -> None:
    with lab_server(authority.context(*names, days=days)) as port:
        proxy = Proxy(port)
        text = said(
            tmp_path,
            LOGIN,
            f"https://{NAME}",
            code=1,
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
            SSL_CERT_FILE=authority.file,
        )
        proxy.close()

    assert "is not trusted" in text
    assert reason in text


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("1.0.9", "The server is too old"),
        ("9.0.0", "This command line is too old"),
    ],
)
def test_server_of_another_version_says_which_side_is_too_old(
    authority: Authority, tmp_path: Path, version: str, sentence: str
) -> None:
    with lab_server(authority.context(NAME), version=version) as port:
        url = f"https://127.0.0.1:{port}"
        text = said(tmp_path, LOGIN, url, code=1, SSL_CERT_FILE=authority.file)

    assert f"Error: {sentence}" in text
    assert version in text
    assert text.count("\n") == 2


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SSL_CERT_FILE": "/none.pem"}, "SSL_CERT_FILE names /none.pem, which is no"),
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, "The proxy of the environment cannot"),
        (
            {"HTTPS_PROXY": "http://127.0.0.1:x"},
            "The proxy of the environment cannot be used",
        ),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, "through the proxy http://127.0.0.1:9"),
    ],
)
def test_wrong_variable_is_one_sentence(
    tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    environment = {"TESTBED_TOKEN": "tb_x", **variables}

    text = said(
        tmp_path,
        *("status", "--server", f"https://{NAME}", "--project-name", TESTBED),
        code=1,
        **environment,
    )

    assert sentence in text
    assert text.count("\n") == 2
