"""A client that plans from its own files makes the server's plan, byte for byte."""

import json
import shutil

import pytest

from orchestration.cli import main
from orchestration.plan.model import Command, Options
from testbed.testbeds.findings import known_hosts
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import deploy, edit

pytestmark = pytest.mark.django_db


@pytest.fixture
def client_plan(tmp_path, capsys):
    """Plan as a client: from copies of the files, the state and the hosts alone."""

    def plan(testbed):
        folder = tmp_path / "client"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(testbed.project.files, folder)
        hosts, state = tmp_path / "hosts.json", tmp_path / "state.json"
        hosts.write_text(json.dumps([h.model_dump(mode="json") for h in known_hosts()]))
        state.write_text(testbed.project.read_state().model_dump_json())
        words = ("plan", str(folder / "kvm-compose.yaml"), "--hosts", str(hosts))
        assert main([*words, "--state", str(state), "--json"]) == 0
        return capsys.readouterr().out.strip()

    return plan


def test_client_plans_a_testbed_with_clones_and_a_context_as_the_server_does(
    with_context, client_plan
):
    _, plan = prepare(with_context, Command.UP, Options())

    assert client_plan(with_context) == plan.to_json()


def test_client_plans_an_edit_of_a_deployed_testbed_as_the_server_does(
    testbed, client_plan
):
    deploy(testbed)
    edit(testbed, "memory_mb: 256", "memory_mb: 512")

    planned = client_plan(testbed)
    _, plan = prepare(testbed, Command.UP, Options())

    assert "stop-changed-guests" in planned
    assert planned == plan.to_json()
