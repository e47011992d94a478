"""The command line as Olive runs it, in a folder of hers, against a real server."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from testbed.access.tokens import make_token
from testbed.client.terminal.program import run
from testbed.client.terminal.tokens import SignedIn, Tokens

Testbed = Callable[..., int]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, named lab; variables of the user who runs tests do not count."""
    made = tmp_path / "lab"
    made.mkdir()
    monkeypatch.chdir(made)
    for name in ("TESTBED_TOKEN", "TESTBED_SERVER", "TESTBED_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return made


@pytest.fixture
def token(owner: User) -> str:
    """A token of Olive's with all scopes that an owner needs."""
    return make_token(owner, "laptop", ("run", "edit", "manage"), 7)[1]


@pytest.fixture
def signed_in(live_server: LiveServer, token: str, folder: Path) -> Testbed:
    """Run a command line of Olive, who signed in at a real server."""
    Tokens.of_user().keep(SignedIn(live_server.url, "olive", token))
    return lambda *words: run(words)
