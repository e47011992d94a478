"""The terminal client and the server's pages, against a real server.

It signs in, makes a testbed of a folder, sends files, reads pages and starts runs; what
the server refuses is told in the server's words.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from testbed.client.api import Client, Refused
from testbed.models import Host, Run, Testbed
from tests.testbed.conftest import YAML, Doors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A testbed's folder as a user has it."""
    folder = tmp_path / "mine"
    (folder / "scripts").mkdir(parents=True)
    (folder / "kvm-compose.yaml").write_text(YAML)
    (folder / "scripts" / "setup.sh").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def client(
    live_server: LiveServer,
    owner: User,
    hosts: tuple[Host, Host],
    doors: Doors,
    settings: object,
    tmp_path: Path,
) -> Iterator[Client]:
    """Olive's client, signed in at a running server."""
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    settings.RUNTIME_DIR = tmp_path / "runtime"
    client = Client(f"{live_server.url}/")
    client.sign_in("olive", "olive-pass")
    yield client
    client.close()


def test_refused_yaml_is_told_line_by_line(client: Client, folder: Path) -> None:
    client.create_testbed("mine", folder)
    wrong = YAML.replace("bridge: far", "bridge: away")
    Testbed.objects.get(name="mine").project.yaml.write_text(wrong)

    with pytest.raises(Refused) as told:
        client.start("mine", "up")

    first, second = str(told.value).splitlines()
    assert first == "kvm-compose.yaml has 1 error. Fix the lines below and try again."
    assert second.startswith("  line ")
    assert "error machines[1].interfaces[0].bridge: Unknown bridge `away`." in second


def test_wrong_password_is_refused(live_server: LiveServer, owner: User) -> None:
    client = Client(live_server.url)

    with pytest.raises(Refused, match="does not let olive in"):
        client.sign_in("olive", "guess")

    client.close()


def test_folder_becomes_a_testbed(client: Client, folder: Path) -> None:
    assert not client.has_testbed("lab")

    client.create_testbed("lab", folder)

    assert client.has_testbed("lab")
    project = Testbed.objects.get(name="lab").project
    assert project.yaml.read_text() == YAML
    assert (project.files / "scripts" / "setup.sh").read_text() == "#!/bin/sh\n"


def test_old_and_new_times_of_files_do_not_matter(client: Client, folder: Path) -> None:
    os.utime(folder / "scripts" / "setup.sh", (0, 0))

    client.create_testbed("lab", folder)

    assert client.has_testbed("lab")


def test_folder_without_a_yaml_is_refused_with_the_servers_reason(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(Refused, match=r"lab was not created: .*kvm-compose.yaml"):
        client.create_testbed("lab", tmp_path / "empty")


def test_files_are_added_and_replaced(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)
    (folder / "scripts" / "setup.sh").write_text("new")
    (folder / "more.txt").write_text("more")

    client.update_files("lab", folder)

    files = Testbed.objects.get(name="lab").project.files
    assert (files / "scripts" / "setup.sh").read_text() == "new"
    assert (files / "more.txt").read_text() == "more"


def test_files_of_a_testbed_that_is_not_there_are_refused(
    client: Client, folder: Path
) -> None:
    with pytest.raises(Refused, match="files of nowhere were not taken"):
        client.update_files("nowhere", folder)


def test_pages_are_read(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)

    assert "lab" in client.page("/testbeds/olive/lab/")
    with pytest.raises(Refused, match="/testbeds/nowhere/ answers 404"):
        client.page("/testbeds/nowhere/")


def test_started_run_comes_with_its_instructions(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)

    started = client.start("lab", "up", provision=True, rerun_scripts=False)

    run = Run.objects.get()
    assert started.number == run.pk
    assert [e["index"] for e in started.instructions] == list(
        range(len(started.instructions))
    )
    assert started.instructions[-1]["kind"] == "end"
    assert (run.options["provision"], run.options["rerun_scripts"]) == (True, False)


def test_run_that_is_refused_says_why(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)

    with pytest.raises(Refused, match="is a draft"):
        client.start("lab", "down")
    with pytest.raises(Refused):
        client.start("nowhere", "up")
