"""The management commands: what an operator types, and what is answered."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from orchestration.hosts import HostFacts, Hosts, examine
from orchestration.plan.model import Command, Options
from orchestration.state.model import Claim, ClaimKind, HostNetwork, State
from testbed.hosts import checks
from testbed.management.commands import status as status_command
from testbed.models import Host, Testbed
from tests.testbed.preparing import prepare

CHECKOUT = Path(__file__).resolve().parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIx"


def said(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    "program", [("manage.py", "help"), ("-m", "orchestration", "schema")]
)
def test_reader_that_has_read_enough_ends_a_command_quietly(
    program: tuple[str, ...], tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    ended = subprocess.run(
        [sys.executable, *program],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=os.environ | {"TESTBED_DATA_DIR": str(tmp_path)},
        cwd=CHECKOUT,
        check=False,
    )
    os.close(writing)

    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_leaves_gives_the_command_line_its_exit_code(
    unbuffered: str, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    ended = subprocess.run(
        [sys.executable, "-m", "testbed.client.terminal.program", "init", "--list"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(CHECKOUT)},
        cwd=tmp_path,
        check=False,
    )
    os.close(writing)

    assert (ended.returncode, ended.stderr) == (141, b"")


def refused(*words: str) -> str:
    with pytest.raises(CommandError) as caught:
        said(*words)
    return str(caught.value)


@pytest.fixture
def runtime(db: None, settings: object, tmp_path: Path) -> Path:
    settings.RUNTIME_DIR = tmp_path / "runtime"
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    return settings.RUNTIME_DIR / "simulated"


@pytest.fixture
def state(testbed: Testbed) -> State:
    return prepare(testbed, Command.UP, Options())[0]


def silence(runtime: Path, host: str) -> None:
    runtime.mkdir(parents=True, exist_ok=True)
    faults = json.dumps({"": {"unreachable": True}})
    (runtime / f"{host}.faults.json").write_text(faults)


def test_host_is_added_and_described(runtime: Path) -> None:
    answer = said("add_host", "main", "--main", "--simulated")

    host = Host.objects.get()
    assert host.is_main
    assert answer == (
        f"main: {host.cpus} CPUs, {host.memory_mib} MiB, qemu guests, system datapath\n"
    )


def test_problem_of_a_host_that_is_added_is_said(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examined(*words: object, **options: object) -> HostFacts:
        seen = examine(*words, **options)  # type: ignore[arg-type]
        return replace(seen, remark="It forbids forwarding.", hint="Allow it.")

    monkeypatch.setattr(checks, "examine", examined)

    answer = said("add_host", "main", "--main", "--simulated")

    assert answer.endswith("\nmain: It forbids forwarding. Allow it.\n")


def test_overlap_is_named_when_a_host_is_added_and_when_it_is_checked(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claim(kind=ClaimKind.FILTER, range="100.64.0.0/10", by="ts-input")
    found = HostNetwork(claims=(claim,))
    monkeypatch.setattr(checks, "host_network", lambda *_, **__: found)

    added = said("add_host", "main", "--main", "--simulated")
    out = StringIO()
    with pytest.raises(CommandError, match="Problems on 1 of 1 host"):
        call_command("check_hosts", stdout=out)

    assert "its firewall (ts-input) drops 100.64.0.0/10" in added
    assert out.getvalue().startswith("main: online. On main its firewall (ts-input)")


def test_every_option_reaches_the_row(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"{KEY} root@host-b\n")

    said(
        *("add_host", "host-b", "--simulated", "--address", "192.0.2.7"),
        *("--port", "2222", "--user", "lab", "--identity-file", "/etc/key"),
        *("--host-key-file", str(tmp_path / "key.pub")),
        *("--tunnel-address", "198.51.100.7"),
        *("--projects-dir", "/srv/p", "--images-dir", "/srv/i"),
    )

    host = Host.objects.get()
    assert (host.address, host.port, host.user) == ("192.0.2.7", 2222, "lab")
    assert (host.identity_file, host.host_key) == ("/etc/key", KEY)
    assert host.tunnel_address == "198.51.100.7"
    assert (host.projects_dir, host.images_dir) == ("/srv/p", "/srv/i")


def test_adding_a_known_host_brings_its_row_up_to_date(runtime: Path) -> None:
    said("add_host", "host-b", "--simulated", "--address", "192.0.2.7")

    said("add_host", "host-b", "--simulated", "--address", "192.0.2.8")

    assert Host.objects.get().address == "192.0.2.8"


def test_host_that_does_not_answer_is_refused(runtime: Path) -> None:
    silence(runtime, "host-b")

    assert "host-b does not answer" in refused("add_host", "host-b", "--simulated")
    assert not Host.objects.exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("../etc", "--simulated"), "name: Use letters, digits, hyphens"),
        (("x" * 41, "--simulated"), "name: Ensure this value has at most 40"),
        (("b", "--simulated", "--tunnel-address", "here"), "--tunnel-address: Enter"),
        (("b", "--simulated", "--port=-1"), "--port: Ensure this value is greater"),
        (("b", "--simulated", "--port=70000"), "--port: Ensure this value is less"),
    ],
)
def test_values_that_cannot_be_are_refused_in_words(
    runtime: Path, words: tuple[str, ...], reason: str
) -> None:
    assert reason in refused("add_host", *words)
    assert not Host.objects.exists()


def test_second_main_host_is_refused(runtime: Path) -> None:
    said("add_host", "main", "--main", "--simulated")

    answer = refused("add_host", "other", "--main", "--simulated")

    assert answer == "Another host is main already, and exactly one can be."
    assert Host.objects.count() == 1


@pytest.mark.parametrize("text", ["", "ssh-ed25519", f"host-b {KEY}", "garbage here"])
def test_file_that_is_no_public_key_is_refused(
    runtime: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "key.pub").write_text(text)
    path = str(tmp_path / "key.pub")

    answer = refused("add_host", "b", "--simulated", "--host-key-file", path)

    assert answer == f"{path} is no public key: use `ssh-ed25519 AAAA…`."


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_key_file_that_cannot_be_read_is_named(
    runtime: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "key.pub"
    if content is not None:
        path.write_bytes(content)

    answer = refused("add_host", "b", "--simulated", "--host-key-file", str(path))

    assert answer.startswith(f"{path} cannot be read")


def test_check_says_each_host_in_a_line(runtime: Path) -> None:
    said("add_host", "main", "--main", "--simulated")
    said("add_host", "host-b", "--simulated")

    assert said("check_hosts") == "main: online\nhost-b: online\n"


def test_check_fails_when_a_host_has_a_problem(runtime: Path) -> None:
    said("add_host", "main", "--main", "--simulated")
    said("add_host", "host-b", "--simulated")
    silence(runtime, "host-b")
    out = StringIO()

    with pytest.raises(CommandError, match="Problems on 1 of 2 hosts"):
        call_command("check_hosts", stdout=out)

    first, second = out.getvalue().splitlines()
    assert first == "main: online"
    assert second.startswith("host-b: host-b does not answer.")


def test_status_lists_guests_with_their_places_and_addresses(
    testbed: Testbed, state: State
) -> None:
    testbed.observed_guests.create(
        name="web", host="main", status="running", observed_at=timezone.now()
    )

    title, web, db = said("status").splitlines()

    assert title == "olive/lab (lab): draft"
    assert web.split()[:4] == ["web", "running", "on", "main"]
    assert web.split()[-1] == state.way_to(state.guest("web")).address
    assert db.split()[:4] == ["db", "stopped", "on", "host-b"]


def test_status_can_be_asked_for_one_testbed(testbed: Testbed, owner: object) -> None:
    Testbed.objects.create(owner=owner, slug="other", number=8)

    assert said("status", "other") == "olive/other (other): draft\n"
    assert said("status").splitlines() == [
        "olive/lab (lab): draft",
        "olive/other (other): draft",
    ]


def test_status_of_an_unknown_testbed_is_refused(db: None) -> None:
    assert refused("status", "nowhere") == "There is no testbed nowhere."


def test_broken_state_is_said_and_the_next_testbed_is_listed(
    testbed: Testbed, state: State, owner: object
) -> None:
    Testbed.objects.create(owner=owner, slug="other", number=8)
    testbed.project.state_file.write_text("{")

    lines = said("status").splitlines()

    assert lines[0] == "olive/lab (lab): draft"
    assert "state.json" in lines[1]
    assert lines[2] == "olive/other (other): draft"


def test_status_now_asks_the_hosts_first(
    testbed: Testbed, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Hosts(settings.RUNTIME_DIR)
    monkeypatch.setattr(status_command, "kept_hosts", lambda: kept)

    said("status", "--now")

    kept.close()
    assert all(host.checked_at for host in Host.objects.all())
    testbed.refresh_from_db()
    assert testbed.observed_at is not None


def test_check_of_named_hosts_asks_no_other(hosts: tuple[Host, Host]) -> None:
    assert "main" not in said("check_hosts", "host-b", "--set-up-jump")
    assert refused("check_hosts", "nowhere") == "There is no host nowhere."
