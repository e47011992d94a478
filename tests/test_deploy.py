"""The files that docs/operations.md installs are valid and agree with the documents."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployed_files import CONSOLES, DEPLOY, WEB, WORKER, setting

CHECKOUT = DEPLOY.parent
OPERATIONS = (CHECKOUT / "docs/operations.md").read_text()
SECURITY = (CHECKOUT / "docs/security.md").read_text()
# What script/demo starts, by its program: the words that make it this process.
PROCESSES = {
    "daphne": {"testbed.asgi:application"},
    "celery": {"worker", "-B"},
    "python": {"console_gateway"},
}
NGINX = """\
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/nginx.conf;
}}
"""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program}")


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", [WEB, WORKER, CONSOLES])
def test_systemd_takes_each_setting_of_the_unit(unit: str, tmp_path: Path) -> None:
    for program in ("daphne", "celery", "python"):
        path = tmp_path / f"opt/testbed/.venv/bin/{program}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
    system = tmp_path / "etc/systemd/system"
    system.mkdir(parents=True)
    shutil.copy(DEPLOY / unit, system)
    for target in ("basic", "multi-user", "network", "shutdown", "sysinit"):
        (system / f"{target}.target").write_text("[Unit]\n")

    words = ["systemd-analyze", "verify", "--man=no", f"--root={tmp_path}", unit]
    checked = subprocess.run(words, capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr
    assert unit not in checked.stderr


@pytest.mark.parametrize("unit", [WEB, WORKER, CONSOLES])
def test_unit_bounds_memory_and_keeps_new_files_private(unit: str) -> None:
    assert setting(unit, "MemoryMax")
    assert setting(unit, "UMask") == ["0077"]
    assert setting(unit, "NoNewPrivileges") == ["yes"]
    assert setting(unit, "ProtectSystem") == ["strict"]


def test_web_has_an_account_of_its_own_and_no_right_of_root() -> None:
    assert setting(WEB, "User") == ["testbed"]
    assert setting(WEB, "CapabilityBoundingSet") == []


def test_each_right_of_the_worker_has_its_reason_in_the_documents() -> None:
    table = set(re.findall(r"`(CAP_\w+)`", SECURITY))

    assert table == set(setting(WORKER, "CapabilityBoundingSet"))


def test_console_gateway_has_a_part_of_the_workers_rights() -> None:
    rights = set(setting(CONSOLES, "CapabilityBoundingSet"))

    assert rights < set(setting(WORKER, "CapabilityBoundingSet"))


def test_documents_install_each_deployed_file() -> None:
    installed = set(re.findall(r"deploy/([\w.-]+\w)", OPERATIONS))

    assert installed == {path.name for path in DEPLOY.iterdir()}


@needs("nginx")
def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    pem, key = tmp_path / "testbed.pem", tmp_path / "testbed.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    words += ["-subj", "/CN=testbed.example.org", "-keyout", key, "-out", pem]
    subprocess.run(words, check=True, capture_output=True)
    site = (DEPLOY / "nginx.conf").read_text().replace("/etc/ssl/", f"{tmp_path}/")
    (tmp_path / "nginx.conf").write_text(site)
    (tmp_path / "main.conf").write_text(NGINX.format(folder=tmp_path))

    words = [
        "nginx",
        "-t",
        "-p",
        tmp_path,
        "-e",
        "stderr",
        "-c",
        tmp_path / "main.conf",
    ]
    checked = subprocess.run(words, capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr


@pytest.fixture(name="compose")
def _compose() -> dict[str, Any]:
    """The content of docker-compose.yml."""
    return yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())


def test_demo_units_and_compose_start_the_same_processes(compose: dict[str, Any]):
    demo = (CHECKOUT / "script/lab/demo.sh").read_text()
    started = re.findall(r'exec setsid "\$VENV/bin/(\w+)"(.*?) >', demo, re.DOTALL)
    units = [setting(unit.name, "ExecStart") for unit in DEPLOY.glob("*.service")]
    image = (CHECKOUT / "Dockerfile").read_text().rpartition("\nCMD ")[2]
    default = json.loads(image.replace("\\\n", ""))
    built = [s for s in compose["services"].values() if "build" in s]

    for commands in (
        [[program, *words.split()] for program, words in started],
        [[Path(words[0]).name, *words[1:]] for words in units],
        [service.get("command", default) for service in built],
    ):
        assert sorted(words[0] for words in commands) == sorted(PROCESSES)
        assert all(PROCESSES[words[0]] <= set(words) for words in commands)


def test_console_gateway_of_compose_has_the_rights_of_its_unit(compose: dict[str, Any]):
    service = compose["services"]["consoles"]

    assert service["cap_drop"] == ["ALL"]
    rights = {f"CAP_{name}" for name in service["cap_add"]}
    assert rights == set(setting(CONSOLES, "CapabilityBoundingSet"))


def test_secrets_of_compose_are_declared_and_made(compose: dict[str, Any]) -> None:
    used = {name for s in compose["services"].values() for name in s["secrets"]}

    assert used == set(compose["secrets"])
    for secret in compose["secrets"].values():
        assert f"> {secret['file'].removeprefix('./')}\n" in OPERATIONS


def test_services_of_compose_are_bounded(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert {"mem_limit", "pids_limit"} <= set(service)
        ports = service.get("ports", [])
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_passwords_of_compose_need_no_quoting_in_a_url() -> None:
    made = [line for line in OPERATIONS.splitlines() if "| base64" in line]

    assert made
    assert all("| tr +/ -_" in line for line in made)
