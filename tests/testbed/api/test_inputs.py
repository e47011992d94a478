"""A client plans with its own files and the inputs that only the server knows."""

import json
import shutil
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from orchestration.plan.model import Command, Options
from orchestration.plan.situation import Situation
from testbed.models import Host, Run, Testbed
from tests.testbed.api.conftest import asker
from tests.testbed.conftest import Doors
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import deploy, edit

pytestmark = pytest.mark.django_db
LAB = "/testbeds/olive/lab"


@pytest.fixture
def planned(owner: User, tmp_path: Path):
    """Plan a command as a client does, with copies of the testbed's files."""

    def plan(testbed: Testbed, command: Command, options: Options = Options()):  # noqa: B008
        folder = tmp_path / "client"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(testbed.project.files, folder)
        answer = asker(owner, "run")("GET", f"{LAB}/inputs")
        assert answer.status_code == 200, answer.content
        situation = Situation.model_validate(json.loads(answer.content)["situation"])
        return situation.planned(command, options, folder)

    return plan


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (Command.GENERATE_ARTEFACTS, Options()),
        (Command.UP, Options()),
        (Command.UP, Options(provision=True, rerun_scripts=True)),
    ],
)
def test_client_plans_a_draft_as_the_server_does(
    testbed: Testbed, planned, command: Command, options: Options
) -> None:
    assert planned(testbed, command, options) == prepare(testbed, command, options)[1]


@pytest.mark.parametrize("command", [Command.UP, Command.DOWN, Command.CLEAR_ARTEFACTS])
def test_client_plans_a_deployed_testbed_as_the_server_does(
    testbed: Testbed, planned, command: Command
) -> None:
    deploy(testbed)

    own = planned(testbed, command)

    assert own == prepare(testbed, command, Options())[1]


def test_client_plans_an_edit_of_a_deployed_testbed_as_the_server_does(
    testbed: Testbed, planned
) -> None:
    deploy(testbed)
    edit(testbed, "memory_mb: 256", "memory_mb: 512")

    own = planned(testbed, Command.UP)

    assert "stop-changed-guests" in own.to_json()
    assert own == prepare(testbed, Command.UP, Options())[1]


def secretive(testbed: Testbed) -> None:
    """Give the first guest a password and a secret variable."""
    yaml = testbed.project.yaml
    text = yaml.read_text().replace(
        "{name: ubuntu_22_04}", "{name: ubuntu_22_04, environment: {TOKEN: hunter2}}", 1
    )
    yaml.write_text(text.replace("cpus: 1", "cpus: 1\n      password: old-password", 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [("hunter2", "hunter3"), ("old-password", "new-password"), ("nothing", "")],
)
def test_edit_of_a_secret_is_planned_as_the_server_does(
    testbed: Testbed, planned, old: str, new: str
) -> None:
    secretive(testbed)
    deploy(testbed)
    text = testbed.project.yaml.read_text()
    testbed.project.yaml.write_text(text.replace(old, new))

    own = planned(testbed, Command.UP)

    assert own == prepare(testbed, Command.UP, Options())[1]


def test_secrets_of_the_present_state_are_not_sent(
    testbed: Testbed, owner: User
) -> None:
    secretive(testbed)
    deploy(testbed)
    hashes = {g.password_hash for g in testbed.project.read_state().guests} - {""}

    text = asker(owner, "run")("GET", f"{LAB}/inputs").content.decode()

    assert len(hashes) == 1
    assert "hunter2" not in text
    assert hashes.pop() not in text
    assert "hidden:" in text


LOGIN = {
    "port": 2222,
    "user": "lab-root",
    "identity_file": "/root/.ssh/lab_key",
    "host_key": "ssh-ed25519 AAAAhostkey",
}


def test_way_to_sign_in_to_the_hosts_is_not_sent(
    testbed: Testbed, owner: User, planned
) -> None:
    Host.objects.update(**LOGIN)
    deploy(testbed)
    edit(testbed, "memory_mb: 256", "memory_mb: 512")
    ask = asker(owner, "run", "read")

    inputs = ask("GET", f"{LAB}/inputs").content.decode()
    artefact = ask("GET", f"{LAB}/artefacts/state.json").content.decode()

    kept = testbed.project.read_state().hosts
    assert {host.identity_file for host in kept} == {"/root/.ssh/lab_key"}
    for text in (inputs, artefact):
        assert '"hosts":' in text
        assert not [value for value in LOGIN.values() if str(value) in text]
    own = planned(testbed, Command.UP)
    assert own == prepare(testbed, Command.UP, Options())[1]


def test_files_are_listed_with_the_tags_of_their_contents(
    testbed: Testbed, owner: User
) -> None:
    (testbed.project.files / "a.sh").write_text("echo a\n")
    ask = asker(owner, "run")

    files = json.loads(ask("GET", f"{LAB}/inputs").content)["files"]

    assert [file["path"] for file in files] == ["kvm-compose.yaml", "a.sh"]
    for file in files:
        tag = ask("GET", f"{LAB}/files/{file['path']}")["ETag"]
        assert tag == f'"{file["etag"]}"'


def test_plan_of_a_client_starts_a_run_when_it_is_the_servers(
    testbed: Testbed, owner: User, planned, doors: Doors
) -> None:
    plan = json.loads(planned(testbed, Command.UP).to_json())

    answer = asker(owner, "run")("POST", f"{LAB}/runs", {"command": "up", "plan": plan})

    assert answer.status_code == 202, answer.content
    assert Run.objects.get().command == "up"


def test_another_plan_is_refused_with_the_first_instruction_that_differs(
    testbed: Testbed, owner: User, planned, doors: Doors
) -> None:
    plan = json.loads(planned(testbed, Command.UP).to_json())
    plan["instructions"][2]["title"] = "Something else"
    ask = asker(owner, "run")

    answer = ask("POST", f"{LAB}/runs", {"command": "up", "plan": plan})
    broken = ask("POST", f"{LAB}/runs", {"command": "up", "plan": {"nothing": 1}})

    assert answer.status_code == 422
    assert "they differ from instruction 2 on" in json.loads(answer.content)["detail"]
    assert broken.status_code == 422
    assert not Run.objects.exists()
