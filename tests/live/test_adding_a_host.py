"""A lab admin adds a Debian 13 on the pages: compares its key, mends it, lets it serve."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path

import pytest

from tests.live.client import Client
from tests.live.namespace_host import NamespaceHost, debian_13
from tests.live.pages import PageRefused
from tests.live.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.live
PAGE = "/new-hosts/host-c/"
COMMAND = re.compile(r'<pre class="output" id="command-(\w+)"[^>]*>(.*?)</pre>', re.S)
ROW = re.compile(r'<li class="checks__row" id="check-(\w+)">(.*?)</li>', re.S)
CHECK_TIMEOUT_S = 240
# In the range by which guests are managed.
TAKEN = "100.64.77.1/24"
YAML = """\
machines:
  - name: a
    interfaces: [{bridge: one}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: test_guest}}}
  - name: b
    interfaces: [{bridge: two}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: test_guest}}}
  - name: c
    interfaces: [{bridge: three}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: test_guest}}}
network:
  bridges: [{name: one}, {name: two}, {name: three}]
  external_bridge: one
"""


@pytest.fixture
def machine(stack: Stack) -> Iterator[NamespaceHost]:
    """A Debian 13 that is no host yet, with an address in the testbeds' range."""
    root = debian_13()
    if root is None:
        pytest.skip("the root of Debian 13 is not built: script/lab/debian-root")
    with stack.third_machine(root) as machine:
        machine.run("ip", "address", "add", TAKEN, "dev", "w0")
        yield machine


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Iterator[Client]:
    stack.add_user("hosts-admin", is_admin=True)
    client = stack.client("hosts-admin")
    yield client
    client.close()


def rows(admin: Client) -> dict[str, str]:
    """Return the text of each row of the page."""
    tags = re.compile(r"<[^>]+>")
    found = ROW.findall(admin.pages.read(PAGE))
    return {key: " ".join(unescape(tags.sub(" ", text)).split()) for key, text in found}


def wait_for_check(admin: Client) -> None:
    wait_until(
        lambda: "checking…" not in admin.pages.read(PAGE),
        "the check did not end",
        timeout_s=CHECK_TIMEOUT_S,
        pause_s=0.5,
    )


def is_added(admin: Client) -> bool:
    """Return whether the host has a page of its own."""
    with suppress(PageRefused):
        return "Guests that run here" in admin.pages.read("/hosts/host-c/")
    return False


def form(stack: Stack, machine: NamespaceHost) -> dict[str, str]:
    return {
        "name": "host-c",
        "address": machine.address,
        "port": "22",
        "user": "root",
        "identity_file": str(stack.key),
        "tunnel_address": "",
        "projects_dir": "/var/lib/testbed/projects",
        "images_dir": "/var/lib/testbed/images",
    }


def fingerprint_on_console(machine: NamespaceHost) -> str:
    """Return the key's fingerprint as an admin reads it on the machine itself."""
    key = machine.folder / "ssh_host_ed25519_key.pub"
    words = ["ssh-keygen", "-lf", str(key)]
    shown = subprocess.run(words, check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def test_debian_13_is_checked_mended_and_added(
    stack: Stack, machine: NamespaceHost, admin: Client, tmp_path: Path
) -> None:
    admin.pages.send("/new-hosts/", form(stack, machine))
    wait_for_check(admin)
    found = rows(admin)
    assert found["ssh"].count("An SSH server answers") == 1, found
    assert fingerprint_on_console(machine) in found["host_key"]
    assert "Not checked: Host key comes first." in found["login"]
    with pytest.raises(PageRefused, match="another key"):
        admin.pages.send(f"{PAGE}confirm/", {"fingerprint": "SHA256:other"})

    admin.pages.send(
        f"{PAGE}confirm/", {"fingerprint": fingerprint_on_console(machine)}
    )
    wait_for_check(admin)
    found = rows(admin)
    lacking = {key for key, text in found.items() if " lacking " in text}
    assert lacking - {"kvm", "tcpdump"} == {"ranges"}, found
    assert f"w0 has the address {TAKEN}" in found["ranges"]
    assert "Debian GNU/Linux 13" in found["machine"]
    assert f"{PAGE}add/" not in admin.pages.read(PAGE)

    commands = {
        key: unescape(text) for key, text in COMMAND.findall(admin.pages.read(PAGE))
    }
    assert commands["ranges"] == f"ip address delete {TAKEN} dev w0"
    machine.run("sh", "-ec", commands["ranges"])
    admin.pages.send(f"{PAGE}check/", {"requirement": "ranges"})
    wait_for_check(admin)
    assert " lacking " not in rows(admin)["ranges"]

    admin.pages.send(f"{PAGE}add/", {})
    wait_until(
        lambda: is_added(admin),
        "the host was not added",
        timeout_s=CHECK_TIMEOUT_S,
        pause_s=0.5,
    )
    assert "host-c: online" in stack.manage("check_hosts", "host-c")
    assert hosts_of_guests(stack, admin, tmp_path) == {"main", "host-b", "host-c"}


def hosts_of_guests(stack: Stack, admin: Client, folder: Path) -> set[str]:
    """Return the hosts on which a new testbed's guests are planned."""
    (folder / "kvm-compose.yaml").write_text(YAML)
    admin.create_testbed("three", folder)
    assert admin.run("three", "generate-artefacts", lambda _: None) == "succeeded"
    code = (
        "import json\n"
        "from testbed.models import Testbed\n"
        "state = Testbed.objects.get(name='three').project.read_state()\n"
        "print(json.dumps([guest.host for guest in state.guests]))"
    )
    placed = set(json.loads(stack.shell(code)))
    admin.server.delete(admin.path("three"))
    return placed


def test_address_of_main_by_another_name_is_refused(
    stack: Stack, admin: Client
) -> None:
    typed = form(stack, stack.main) | {"name": "again", "address": stack.main.address}

    with pytest.raises(PageRefused, match="answers 422"):
        admin.pages.send("/new-hosts/", typed)
