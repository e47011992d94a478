"""`login` and `logout`: the token is checked at the server, and kept from others."""

import io
import json
import os
import stat
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from testbed.client.terminal.program import run
from testbed.client.terminal.project import Link, write_link
from testbed.client.terminal.tokens import (
    SignedIn,
    Tokens,
    address_of,
    is_readable_on_the_way,
)

pytestmark = pytest.mark.django_db(transaction=True)


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Send this to standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_token_of_standard_input_is_checked_and_kept_for_its_user_alone(
    live_server: LiveServer,
    token: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    types(monkeypatch, f"{token}\n")

    code = run(["login", f"{live_server.url}/testbeds/"])

    said = capsys.readouterr()
    file = tmp_path / "config" / "testbed" / "servers.json"
    assert code == 0
    assert "as olive. The token may: read, run, edit, manage." in said.err
    assert token not in said.err + said.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Tokens.of_user().find("") == SignedIn(live_server.url, "olive", token)


def test_person_gets_the_page_in_the_browser_and_pastes_the_token(
    live_server: LiveServer,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pages: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("webbrowser.open", pages.append)
    monkeypatch.setattr("click.prompt", lambda *words, **how: token)

    assert run(["login", live_server.url, "--scope", "run"]) == 0

    (page,) = pages
    assert page.startswith(f"{live_server.url}/tokens/?name=")
    assert page.endswith("&scope=run")
    assert f"paste it here:\n  {page}\n" in capsys.readouterr().err


def test_unknown_token_is_refused_and_not_kept(
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    types(monkeypatch, "tb_unknown\n")

    assert run(["login", live_server.url]) == 3
    assert "Error: " in capsys.readouterr().err
    assert not Path(os.environ["XDG_CONFIG_HOME"], "testbed").exists()


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (["login", "http://127.0.0.1:9"], "tb_x\n", "does not answer"),
        (["login", "http://127.0.0.1:9"], "password\n", "does not begin with tb_"),
        (["login", "http://127.0.0.1:9"], "", "No token came on standard input"),
        (["login", "ftp://lab"], "tb_x\n", "no address of a server"),
        (["login", "https://a:b@lab"], "tb_x\n", "no address of a server"),
        (["login", "http://["], "tb_x\n", "no address of a server"),
        (["login", "http://lab:99999"], "tb_x\n", "no address of a server"),
        (["login", "http://a b"], "tb_x\n", "no address of a server"),
        (["hosts", "--server", "http://["], "", "no address of a server"),
        (["logout"], "", "You are not signed in at any server"),
    ],
)
def test_problem_is_one_sentence(
    words: list[str],
    typed: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    types(monkeypatch, typed)

    assert run(words) in (1, 2)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "address", "is_readable"),
    [
        ("lab.example", "https://lab.example", False),
        ("https://lab.example:8443/testbeds/", "https://lab.example:8443", False),
        ("http://lab.example", "http://lab.example", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", False),
        ("http://[::1]:8000", "http://[::1]:8000", False),
    ],
)
def test_address_is_encrypted_unless_it_says_otherwise(
    url: str, address: str, is_readable: bool
) -> None:
    assert address_of(url) == address
    assert is_readable_on_the_way(address) is is_readable


def test_logout_forgets_the_token(
    live_server: LiveServer,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    types(monkeypatch, f"{token}\n")
    run(["login", live_server.url])

    assert run(["logout"]) == 0
    assert run(["logout"]) == 2
    assert f"{live_server.url}/tokens/" in capsys.readouterr().err


def test_token_of_the_environment_is_not_revoked_in_place_of_the_kept_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = SignedIn("http://127.0.0.1:9", "olive", "tb_kept")
    Tokens.of_user().keep(kept)
    monkeypatch.setenv("TESTBED_TOKEN", "tb_given")

    assert run(["logout", "--revoke"]) == 2

    assert "it is not the token that is kept" in capsys.readouterr().err
    monkeypatch.delenv("TESTBED_TOKEN")
    assert Tokens.of_user().find("") == kept


def test_token_that_is_forgotten_is_named_as_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "http://127.0.0.1:9"
    Tokens.of_user().keep(SignedIn(url, "olive", "tb_kept"))

    assert run(["logout", "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found == {"server": url, "revoked": False}


def test_page_of_tokens_has_the_name_and_scopes_filled_in(owner: User) -> None:
    client = Client()
    client.force_login(owner)

    page = client.get("/tokens/?name=testbed+on+laptop&scope=run&scope=edit").text

    assert 'value="testbed on laptop"' in page
    assert page.count("checked") == 2


def test_keyring_keeps_the_token_out_of_the_file(tmp_path: Path) -> None:
    class Ring:
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012

        def get_password(self, service: str, url: str) -> str | None:
            return self.kept.get((service, url))

        def set_password(self, service: str, url: str, token: str) -> None:
            self.kept[service, url] = token

    tokens = Tokens(tmp_path, {}, keyring=Ring())
    place = tokens.keep(SignedIn("https://lab", "olive", "tb_secret"))

    text = (tmp_path / "testbed" / "servers.json").read_text()
    assert place == "the keyring"
    assert "tb_secret" not in text
    assert tokens.find("").token == "tb_secret"


def test_token_of_the_environment_goes_to_no_server_of_a_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kvm-compose.yaml").write_text("machines: []\n")
    write_link(folder, Link("https://theirs.invalid", "olive/lab"))
    monkeypatch.setenv("TESTBED_TOKEN", "tb_secret")
    monkeypatch.delenv("TESTBED_SERVER", raising=False)

    assert run(["status"]) == 2
    assert "No server is known." in capsys.readouterr().err
