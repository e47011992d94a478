"""The line and the files with which a user's own ssh reaches guests.

`ssh -G` reads the file as ssh does and prints what it makes of it.
"""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.project.host_keys import pin_key
from orchestration.project.keys import fingerprint, generate_key_pair
from testbed.models import Host, Testbed


def line_of_key() -> str:
    return " ".join(generate_key_pair("").public_line.split()[:2])


@pytest.fixture
def pinned(generated: Testbed) -> tuple[str, str]:
    """Pin the keys of guest `db` and of its host."""
    guest, host = line_of_key(), line_of_key()
    pin_key(generated.project, "db", guest)
    row = Host.objects.filter(name="host-b")
    row.update(host_key=f"{host} root@host-b", port=2222)
    return guest, host


def downloaded(client: Client, folder: Path) -> Path:
    """Unpack the archive, and return its folder."""
    answer = client.get("/testbeds/olive/lab/ssh.zip")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(folder)
    return folder / "lab-ssh"


def read_by_ssh(folder: Path, name: str) -> dict[str, str]:
    done = subprocess.run(
        ["ssh", "-G", "-F", "ssh_config", name],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh")
def test_ssh_reads_the_way_to_a_guest(
    browser: Client, generated: Testbed, pinned: tuple[str, str], tmp_path: Path
):
    guest = generated.project.read_state().guest("db")
    Host.objects.filter(name="host-b").update(jump={"is_there": True, "works": True})

    folder = downloaded(browser, tmp_path)

    web, jump = read_by_ssh(folder, "db"), read_by_ssh(folder, "jump.host-b")
    assert web["hostname"] == guest.management.address
    assert (web["user"], web["proxyjump"]) == (guest.user, "jump.host-b")
    assert web["userknownhostsfile"] == "known_hosts"
    assert web["stricthostkeychecking"] == "true"
    assert (jump["hostname"], jump["port"]) == ("192.0.2.2", "2222")
    assert jump["user"] == "testbed-jump"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_known_hosts_has_the_pinned_keys(
    browser: Client, pinned: tuple[str, str], tmp_path: Path
):
    folder = downloaded(browser, tmp_path)

    for alias, key in zip(
        ("db.lab.testbed", "host-b.host.testbed"), pinned, strict=True
    ):
        words = ["ssh-keygen", "-F", alias, "-f", "known_hosts"]
        found = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert key in found.stdout


def test_guest_without_a_pinned_key_says_so(
    browser: Client, generated: Testbed, tmp_path: Path
):
    folder = downloaded(browser, tmp_path)

    assert "has not reported its host key" in (folder / "ssh_config").read_text()
    assert (folder / "known_hosts").read_text() == ""


def test_page_shows_the_line_through_the_host(
    browser: Client, generated: Testbed, pinned: tuple[str, str]
):
    guest = generated.project.read_state().guest("db")
    target = f"-o HostKeyAlias=db.lab.testbed {guest.user}@{guest.management.address}"

    before = browser.get("/testbeds/olive/lab/guests/db/").content.decode()
    Host.objects.filter(name="host-b").update(jump={"is_there": True, "works": True})
    after = browser.get("/testbeds/olive/lab/guests/db/").content.decode()

    assert f"ssh -J root@192.0.2.2:2222 {target}" in before
    assert "has no account for users" in before
    assert f"ssh -J testbed-jump@192.0.2.2:2222 {target}" in after
    assert "has no account for users" not in after
    assert fingerprint(pinned[0]) in after
    assert fingerprint(pinned[1]) in after


def test_main_is_where_the_browser_finds_it(browser: Client, generated: Testbed):
    page = browser.get(
        "/testbeds/olive/lab/guests/web/", headers={"host": "localhost:8000"}
    )

    assert "ssh -J root@localhost " in page.content.decode()


def test_text_of_a_row_adds_no_line(
    browser: Client, generated: Testbed, tmp_path: Path
):
    hostile = "x\n  ProxyCommand touch /tmp/x"
    Host.objects.filter(name="host-b").update(address=hostile)
    Host.objects.filter(name="main").update(host_key=f"ssh-ed25519 {hostile}")

    folder = downloaded(browser, tmp_path)

    assert "ProxyCommand" not in (folder / "ssh_config").read_text()
    assert "ProxyCommand" not in (folder / "known_hosts").read_text()


def test_stranger_gets_nothing(client: Client, stranger: User, generated: Testbed):
    client.force_login(stranger)

    assert client.get("/testbeds/olive/lab/ssh.zip").status_code == 404
