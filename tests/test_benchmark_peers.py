"""The tools beside which `script/bench up` puts the product, on a host of stand-ins."""

import os
import re
import subprocess
from pathlib import Path
from typing import cast

import pytest

from benchmarks.measuring import Table
from benchmarks.peers.contest import Peers
from benchmarks.peers.site import PeerGuest, Site
from benchmarks.peers.tools import PEERS, Peer, VirtInstall
from benchmarks.up import FLOOR_TITLE, OURS, add_medians
from tests.live.stack import NamespaceHost

GUESTS = [PeerGuest(0), PeerGuest(1)]


class ThisMachine:
    """A host whose commands run here; what is asked of libvirt is only noted."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def argv(self, *command: str) -> list[str]:
        """Return the words as they are."""
        return list(command)

    def run(self, *command: str, check: bool = True) -> str:
        """Note the command, and run what is not libvirt's."""
        self.asked.append(command)
        if command[0] != "virsh":
            subprocess.run(command, check=check)
        return ""


class Shell(Peer):
    """A peer whose one command is a line of shell."""

    title = "shell"
    program = "sh"
    packages = ()
    line = "exit 0"

    def create(self, guests: list[PeerGuest]) -> list[list[str]]:
        """Return the line as a command."""
        return [["sh", "-c", self.line]]


class Refused(Shell):
    """A peer that prints an error, then advice, and fails."""

    line = "echo 'ERROR no such network'; echo 'See the manual.'; exit 1"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose programs come before those of the machine."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    write_program(place / "ssh", f'echo "$@" >> {tmp_path}/logins')
    return place


@pytest.fixture
def site(tmp_path: Path, programs: Path) -> Site:
    """Return a prepared site for two guests."""
    image, setup = tmp_path / "image", tmp_path / "setup.sh"
    image.write_bytes(b"")
    setup.write_text("#!/bin/sh\n")
    site = Site(cast("NamespaceHost", ThisMachine()), tmp_path / "peers", setup=setup)
    site.prepare(image, GUESTS)
    return site


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def told(site: Site, commands: list[list[str]]) -> str:
    """Return what a peer is told on its command lines and in its file."""
    files = [site.folder / name for name in ("Vagrantfile", "plan.yml")]
    texts = [path.read_text() for path in files if path.exists()]
    return " ".join([*texts, *(word for words in commands for word in words)])


def test_peer_that_is_not_installed_is_named_with_the_option_that_installs_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = Peers(site, [VirtInstall(site)])
    monkeypatch.setenv("PATH", str(site.folder))

    peers.prepare(Path("image"), GUESTS, should_install=False)

    assert peers.ready == []
    printed = capsys.readouterr().out
    assert "virt-install, in parallel: this machine has no virt-install" in printed
    assert "--peers" in printed


def test_failed_installation_is_told_in_the_words_of_apt(
    site: Site, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = Peers(site, [VirtInstall(site)])
    write_program(programs / "dpkg-query", "exit 1")
    write_program(programs / "sudo", 'exec "$@"')
    complaint = "E: Unable to locate package virtinst"
    write_program(programs / "apt-get", f"echo '{complaint}' >&2; exit 100")

    peers.prepare(Path("image"), GUESTS, should_install=True)

    assert peers.ready == []
    assert complaint in capsys.readouterr().out


def test_peer_is_timed_until_the_script_ran_in_each_guest(
    site: Site, tmp_path: Path
) -> None:
    peers = Peers(site, [Shell(site)])

    seconds = peers.seconds(GUESTS)

    assert set(seconds) == {"shell"}
    logins = (tmp_path / "logins").read_text()
    for guest in GUESTS:
        assert f"bench@{guest.address} echo" in logins


def test_peer_that_fails_is_told_by_its_error_and_not_tried_again(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = Peers(site, [Refused(site)])

    first, second = peers.seconds(GUESTS), peers.seconds(GUESTS)

    assert first == second == {}
    assert capsys.readouterr().out == "  not timed: shell: ERROR no such network\n"


@pytest.mark.parametrize("kind", PEERS)
def test_each_peer_gives_each_guest_its_reserved_card(
    kind: type[Peer], site: Site
) -> None:
    commands = kind(site).create(GUESTS)

    assert all(guest.mac in told(site, commands) for guest in GUESTS)
    assert "128" in told(site, commands)


@pytest.mark.parametrize("kind", PEERS)
def test_each_peer_emulates_where_the_product_does(
    kind: type[Peer], site: Site
) -> None:
    site.domain_type = "qemu"

    commands = kind(site).create(GUESTS)

    assert "kvm" not in told(site, commands)
    assert re.search(
        r'(--virt-type |driver = "|"virttype": ")qemu', told(site, commands)
    )


def test_peer_that_failed_in_one_turn_has_no_row() -> None:
    table = Table("up")
    turns = [{OURS: 4.0, FLOOR_TITLE: 4.0, "kcli": 8.0}, {OURS: 4.0, FLOOR_TITLE: 4.0}]

    add_medians(table, "1 guest", turns)

    assert [row[0].strip() for row in table.rows] == [
        "1 guest: click to all set up",
        "bare script",
        "ratio of ours",
    ]
