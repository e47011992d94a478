"""A command line that signs in at a real server."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from testbed.client import __main__ as command_line

At = Callable[..., int]


@pytest.fixture
def at(live_server: LiveServer, owner: User, tmp_path: Path) -> At:
    """Run a command line of Olive at a real server, or at another address."""
    secret = tmp_path / "password"
    secret.write_text("olive-pass\n")
    sign_in = ["--user", "olive", "--password-file", str(secret)]
    return lambda *words, url=live_server.url: command_line.main(
        [url, *sign_in, *words]
    )
