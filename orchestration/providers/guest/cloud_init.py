"""Builds cloud-init's files for a guest: meta-data, user-data and network-config.

Pure: a GuestState in, bytes out, written as JSON (which is YAML), so that the small
test guest can read it with jq. `seed.py` puts it on a disk. Interfaces of the same
guest that ask DHCP must not compete for the default route, hence the overrides.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping

from orchestration.providers.guest import host_key
from orchestration.providers.guest.seed import seed_digest, write_seed
from orchestration.state.model import GuestState, InterfaceState

__all__ = [
    "READY_FILE",
    "READY_TEST",
    "build_meta_data",
    "build_network_config",
    "build_user_data",
    "default_holder",
    "instance_id",
    "seed_digest",
    "write_seed",
]

FOLDER = "/etc/nocloud"
# Names the instance whose first boot is over: cloud-init's last action. A disk with
# another instance's mark (a golden image, older settings) is not ready.
READY_FILE = f"{FOLDER}/ready"
# Empty in guests that were brought up by versions without names in it.
READY_TEST = f'grep -qsxF "$1" {READY_FILE} || {{ test -e {READY_FILE} && ! test -s {READY_FILE}; }}'
# Sets a machine-id, as systemd does by itself, where the golden image left none.
FILL_MACHINE_ID = "test -s /etc/machine-id || echo {id} > /etc/machine-id"
Json = Mapping[str, object]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# JSON allows these as they are, YAML does not.
_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

CONTEXT_DIGEST = f"{FOLDER}/context.sha256"
UNPACK_SCRIPT = f"""\
#!/bin/sh
# Unpack the context that came with the seed, once.
set -e
seed=$(findfs LABEL=cidata)
mkdir -p {FOLDER}/context {FOLDER}/seed
mount -t iso9660 -o ro "$seed" {FOLDER}/seed
trap 'umount {FOLDER}/seed && rmdir {FOLDER}/seed' EXIT
if [ -f {FOLDER}/seed/context.tar ]; then
  tar -x -f {FOLDER}/seed/context.tar -C {FOLDER}/context
  sha256sum < {FOLDER}/seed/context.tar | cut -d ' ' -f 1 > {CONTEXT_DIGEST}
fi
"""

# A clone has the agent of its golden image. Without a way to the packages the boot is
# late, and goes on.
INSTALL_AGENT_SCRIPT = """\
#!/bin/sh
# Install the QEMU guest agent from the distribution's packages, and start it.
if command -v qemu-ga > /dev/null; then :
elif command -v apt-get > /dev/null; then
  timeout 60 apt-get -qq update &&
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install qemu-guest-agent
else
  timeout 300 dnf -q -y install qemu-guest-agent
fi
if command -v systemctl > /dev/null; then systemctl start qemu-guest-agent; fi
"""


def instance_id(guest: GuestState) -> str:
    """Return the instance's id: a changed configuration is a new instance."""
    configured = guest.model_dump_json(
        include={
            "user",
            "interfaces",
            "management",
            "environment",
            "guest_agent",
            "context",
            "spec_hash",
        }
    )
    digest = hashlib.sha256(configured.encode()).hexdigest()[:8]
    return f"{hostname_of(guest)}-{digest}"


def hostname_of(guest: GuestState) -> str:
    """Return a guest's name for itself; states of earlier versions have no other."""
    return guest.hostname or guest.domain


def build_meta_data(guest: GuestState) -> bytes:
    """Build the meta-data: the instance's id and the guest's name."""
    return _json(
        {"instance-id": instance_id(guest), "local-hostname": hostname_of(guest)}
    )


def build_user_data(guest: GuestState, *, public_key: str) -> bytes:
    """Create the user with our key, report the host key, add environment and context.

    The image decides the shell: not every one has bash.
    """
    return b"#cloud-config\n" + _json(
        {
            "hostname": hostname_of(guest),
            "manage_etc_hosts": True,
            "users": [_user(guest, public_key)],
            "ssh_pwauth": False,
            **host_key.CLOUD_CONFIG,
            "bootcmd": [host_key.report_script(READY_FILE)],
            "write_files": _files(guest),
            "runcmd": _commands(guest),
        }
    )


def _commands(guest: GuestState) -> list[str]:
    commands = [f"echo {instance_id(guest)} > {READY_FILE}"]
    if guest.golden:
        commands.insert(0, FILL_MACHINE_ID.format(id=guest.uuid.replace("-", "")))
    if guest.guest_agent:
        commands.insert(0, f"sh {FOLDER}/install-agent.sh")
    if guest.context:
        commands.insert(0, f"sh {FOLDER}/unpack-context.sh")
    return commands


def _user(guest: GuestState, public_key: str) -> Json:
    """Describe our account; a password is for the console, SSH takes only the key.

    useradd makes no account where a group has its name; as named here, cloud-init makes
    the group only where there is none.
    """
    user: dict[str, object] = {
        "name": guest.user,
        "groups": [guest.user],
        "primary_group": guest.user,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": not guest.password_hash,
        "ssh_authorized_keys": [public_key.strip()],
    }
    if guest.password_hash:
        # `passwd` counts for a new account only, and images bring some.
        user["hashed_passwd"] = guest.password_hash
    return user


def build_network_config(guest: GuestState) -> bytes:
    """Describe all interfaces (network config version 2), matched by their MACs.

    Only the holder of the default route asks DHCP for routes.
    """
    holder = default_holder(guest)
    ethernets = {
        interface.name: _interface(interface, has_default=interface is holder)
        for interface in guest.interfaces
    }
    if guest.management is not None:
        ethernets[guest.management.name] = {
            **_matched(guest.management.name, guest.management.mac),
            "dhcp4": False,
            "dhcp6": False,
            "addresses": [f"{guest.management.address}/{guest.management.prefix}"],
        }
    return _json({"version": 2, "ethernets": ethernets})


def default_holder(guest: GuestState) -> InterfaceState | None:
    """Return the interface that has the default route.

    The first with a gateway, else the first that asks DHCP (the route comes from
    there).
    """
    return next(
        (i for i in guest.interfaces if i.gateway),
        next((i for i in guest.interfaces if i.dhcp), None),
    )


def _interface(interface: InterfaceState, *, has_default: bool) -> Json:
    entry: dict[str, object] = {
        **_matched(interface.name, interface.mac),
        "dhcp4": interface.dhcp,
        "dhcp6": False,
        "mtu": interface.mtu,
    }
    if interface.dhcp:
        entry["dhcp-identifier"] = "mac"
        if not has_default:
            entry["dhcp4-overrides"] = {"use-routes": False}
    elif interface.address:
        entry["addresses"] = [f"{interface.address}/{interface.prefix}"]
        if has_default and interface.gateway:
            everything = "::/0" if ":" in interface.gateway else "0.0.0.0/0"
            entry["routes"] = [{"to": everything, "via": interface.gateway}]
        if interface.name_server:
            entry["nameservers"] = {"addresses": [interface.name_server]}
    if not interface.address:
        entry["optional"] = True
    return entry


def _matched(name: str, mac: str) -> dict[str, object]:
    return {"match": {"macaddress": mac.lower()}, "set-name": name}


def _files(guest: GuestState) -> list[Json]:
    files = [
        _file("env.sh", _env_script(guest.environment), "0755"),
        _file("environment", _env_lines(guest.environment), "0644"),
    ]
    if guest.context:
        files.append(_file("unpack-context.sh", UNPACK_SCRIPT, "0755"))
    if guest.guest_agent:
        files.append(_file("install-agent.sh", INSTALL_AGENT_SCRIPT, "0755"))
    return files


def _file(name: str, content: str, permissions: str) -> Json:
    return {
        "path": f"{FOLDER}/{name}",
        "owner": "root:root",
        "permissions": permissions,
        "content": content,
    }


def _env_script(environment: Mapping[str, str]) -> str:
    """Write `env.sh KEY`, safe for any key and value: nothing is evaluated."""
    cases = "".join(
        f"{shlex.quote(key)}) printf '%s\\n' {shlex.quote(value)} ;;\n"
        for key, value in sorted(environment.items())
    )
    return (
        "#!/bin/sh\n# Print the value of one key of this guest's environment.\n"
        f'case "$1" in\n{cases}*) echo "no such key: $1" >&2; exit 1 ;;\nesac\n'
    )


def _env_lines(environment: Mapping[str, str]) -> str:
    """Write lines that a shell can source: the keys that can be variables."""
    return "".join(
        f"{key}={shlex.quote(value)}\n"
        for key, value in sorted(environment.items())
        if _NAME.fullmatch(key)
    )


def _json(value: Json) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    escaped = _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return f"{escaped}\n".encode()
