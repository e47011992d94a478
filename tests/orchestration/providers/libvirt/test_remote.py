"""The ssh that libvirt runs for a remote host, read by ssh itself."""

import shutil
import socket
import stat
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestration.errors import HostUnreachable
from orchestration.hosts import Hosts
from orchestration.providers.libvirt.remote import system_uri, write_wrapper
from orchestration.transport import reachable
from orchestration.transport.ssh import Limits
from tests.orchestration.providers.libvirt.samples import REMOTE_HOST
from tests.orchestration.transport.conftest import keygen


def resolved(directory: Path) -> dict[str, str]:
    """Ask ssh what it makes of our config."""
    argv = ["ssh", "-F", str(directory / "host-b.config"), "-G", "192.0.2.7"]
    lines = subprocess.check_output(argv, text=True).splitlines()
    return dict(line.partition(" ")[::2] for line in lines)


def test_main_host_is_the_local_socket(tmp_path: Path) -> None:
    main = REMOTE_HOST.model_copy(update={"is_main": True})

    assert system_uri(main, tmp_path) == "qemu:///system"


def test_remote_uri_names_login_port_and_wrapper(tmp_path: Path) -> None:
    folder = tmp_path / "a b&c"

    uri = urlsplit(system_uri(REMOTE_HOST, folder))

    assert uri.scheme == "qemu+ssh"
    assert (uri.username, uri.hostname, uri.port) == ("lab", "192.0.2.7", 2222)
    assert parse_qs(uri.query)["command"] == [str(folder / "host-b.ssh")]


def test_ipv6_address_is_bracketed(tmp_path: Path) -> None:
    host = REMOTE_HOST.model_copy(update={"address": "2001:db8::7"})

    uri = urlsplit(system_uri(host, tmp_path))

    assert (uri.hostname, uri.port) == ("2001:db8::7", 2222)


@pytest.mark.parametrize("shell", ["sh", "bash", "tcsh", "fish"])
def test_libvirt_hears_nothing_of_what_the_login_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    write_wrapper(REMOTE_HOST, tmp_path)
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(
        '#!/bin/sh\necho "$1 $2 $3" >&2; echo Welcome; printf "at last "\n'
        f'shift 5; exec {shell} -c "$*"\n'
    )
    ssh.chmod(0o700)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=":")
    sent = bytes(range(256)) * 1000
    asked = f"sh -c 'if test $? = 0; then '\\''cat'\\'' {tmp_path / 'sent'}; cat; fi'"
    (tmp_path / "sent").write_bytes(sent)

    done = subprocess.run(
        [str(tmp_path / "host-b.ssh"), "-T", "--", "host-b", asked],
        capture_output=True,
        check=False,
        input=sent,
    )

    assert done.stdout == sent + sent
    assert done.stderr.decode() == f"-F {tmp_path / 'host-b.config'} -T\n"


def test_ssh_trusts_the_pinned_key_only(tmp_path: Path) -> None:
    write_wrapper(REMOTE_HOST, tmp_path)

    options = resolved(tmp_path)

    assert options["stricthostkeychecking"] == "true"
    assert options["hostkeyalias"] == "testbed-host-host-b"
    known_hosts = Path(options["userknownhostsfile"])
    assert known_hosts.read_text() == (f"testbed-host-host-b {REMOTE_HOST.host_key}\n")
    assert options["globalknownhostsfile"] == "none"


def test_ssh_uses_the_hosts_own_key_and_asks_nobody(tmp_path: Path) -> None:
    write_wrapper(REMOTE_HOST, tmp_path)

    options = resolved(tmp_path)

    assert options["identityfile"] == "/keys/host b"
    assert options["identitiesonly"] == "yes"
    assert options["batchmode"] == "yes"
    assert options["identityagent"] == "none"


def test_silent_host_is_given_up(tmp_path: Path) -> None:
    write_wrapper(REMOTE_HOST, tmp_path)

    options = resolved(tmp_path)

    assert options["serveraliveinterval"] == "2"
    assert options["serveralivecountmax"] == "6"
    assert options["connecttimeout"] == "20"


def test_host_where_nobody_speaks_is_given_up_before_ssh_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachable, "HOST", Limits(0.1, 5.0, 0.1))
    keygen(tmp_path / "id")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = {
            "address": "127.0.0.1",
            "port": silent.getsockname()[1],
            "identity_file": str(tmp_path / "id"),
            "host_key": keygen(tmp_path / "host"),
        }
        host = REMOTE_HOST.model_copy(update=place)
        conn = Hosts(tmp_path / "runtime").open(host).libvirt

        with pytest.raises(HostUnreachable, match=r"host-b .* no SSH server answers"):
            conn.call("look", lambda handle: handle.getVersion())

    assert not (tmp_path / "runtime" / "libvirt").exists()


@pytest.mark.parametrize(
    ("suffix", "mode"), [("ssh", 0o700), ("config", 0o600), ("known_hosts", 0o600)]
)
def test_files_are_for_the_owner_only(tmp_path: Path, suffix: str, mode: int) -> None:
    write_wrapper(REMOTE_HOST, tmp_path)

    found = (tmp_path / f"host-b.{suffix}").stat().st_mode

    assert stat.S_IMODE(found) == mode


def test_writing_again_replaces_the_pinned_key(tmp_path: Path) -> None:
    write_wrapper(REMOTE_HOST, tmp_path)
    changed = REMOTE_HOST.model_copy(update={"host_key": "ssh-ed25519 Other"})

    write_wrapper(changed, tmp_path)

    known_hosts = tmp_path / "host-b.known_hosts"
    assert known_hosts.read_text() == "testbed-host-host-b ssh-ed25519 Other\n"
    assert len(list(tmp_path.iterdir())) == 3
