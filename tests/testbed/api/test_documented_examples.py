"""The commands of docs/api.md, run as they stand against a server."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from testbed.access.tokens import make_token
from testbed.models import Run, Testbed
from tests.testbed.conftest import Doors

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
BLOCKS = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the commands of each block as one script."""
    return [
        "\n".join(line[2:] for line in block.splitlines() if line.startswith("$ "))
        for block in BLOCKS.findall(PAGE.read_text(encoding="utf-8"))
    ]


def answer_of_last_block() -> str:
    return BLOCKS.findall(PAGE.read_text(encoding="utf-8"))[-1].splitlines()[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
# The server of Django's tests is WSGI, ours is ASGI.
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.django_db(transaction=True)
def test_examples_run_as_they_are_written(
    live_server: LiveServer,
    owner: User,
    admin: User,
    testbed: Testbed,
    doors: Doors,
    tmp_path: Path,
):
    _, token = make_token(owner, "docs", ["run", "edit", "manage"], 7)
    *well, stale = commands()
    script = "\n".join(("set -euo pipefail", *well, "set +e", stale))
    env = os.environ | {
        "TESTBED": live_server.url,
        "ACCOUNT": owner.username,
        "TOKEN": token,
        "ADMIN_TOKEN": make_token(admin, "docs", ["admin"], 7)[1],
    }

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert answer_of_last_block() in done.stdout, (done.stdout[-3000:], done.stderr)
    ring = Testbed.objects.get(name="ring")
    names = Testbed.objects.order_by("name").values_list("name", flat=True)
    assert list(names) == ["lab", "packed", "ring", "ring-copy"]
    assert ring.description == "a ring"
    assert ring.project.file("bin/hi.sh").is_file()
    assert "# changed" in ring.project.yaml.read_text()
    assert Run.objects.get(testbed=ring).cancel_requested_by == owner
