"""The URI of a remote host's libvirt, and the ssh wrapper that the URI names.

libvirt runs the `ssh` program for qemu+ssh. It gets a small wrapper instead, made per
host, that adds a config file of ours: only the host's own key pair, only the pinned
host key, no questions, and a keepalive that ends a call after 12 s of silence. The
wrapper also keeps output of the login's start files away from libvirt's own bytes. A
login other than root needs membership of the group libvirt on that host.
"""

import shlex
from pathlib import Path
from urllib.parse import quote

from orchestration.files import write_whole
from orchestration.state.model import HostState

LOCAL_URI = "qemu:///system"

# The last word is libvirt's command for the login shell there. Output of the login
# before it is dropped up to a mark; `read` takes no byte after its line from a pipe.
_SCRIPT = r"""#!/usr/bin/env bash
LC_ALL=C
mark=$(printf '\036testbed\036')
begin="/bin/sh -c 'printf \"\n\036testbed\036\n\"'"
exec ssh -F {config} "${{@:1:$#-1}}" "$begin; ${{*: -1}}" > >(
  while IFS= read -r line; do
    if [[ $line == "$mark" ]]; then exec cat; fi
  done
)
"""


def system_uri(host: HostState, wrapper_dir: Path) -> str:
    """Return the URI of a real host's system libvirt.

    For a remote host it names the wrapper that `write_wrapper` makes.
    """
    if host.is_main:
        return LOCAL_URI
    address = f"[{host.address}]" if ":" in host.address else host.address
    command = quote(str(_wrapper(host, wrapper_dir)), safe="/")
    login = f"{quote(host.user, safe='')}@{address}:{host.port}"
    return f"qemu+ssh://{login}/system?command={command}&no_tty=1"


def write_wrapper(host: HostState, wrapper_dir: Path) -> None:
    """Write the ssh wrapper of a remote host, its config and its known_hosts.

    Each file is replaced whole, so another process never reads half of one.
    """
    wrapper_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    wrapper = _wrapper(host, wrapper_dir)
    config = wrapper.with_suffix(".config")
    known_hosts = wrapper.with_suffix(".known_hosts")
    write_whole(known_hosts, f"{_alias(host)} {host.host_key.strip()}\n", mode=0o600)
    write_whole(config, _ssh_config(host, known_hosts), mode=0o600)
    write_whole(wrapper, _SCRIPT.format(config=shlex.quote(str(config))), mode=0o700)


def _ssh_config(host: HostState, known_hosts: Path) -> str:
    options = {
        "HostName": host.address,
        "HostKeyAlias": _alias(host),
        "IdentityFile": _quoted(host.identity_file),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": _quoted(str(known_hosts)),
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
        # A call to a host that fell silent ends after 12 to 14 s.
        "ServerAliveInterval": "2",
        "ServerAliveCountMax": "6",
        # The host answers already (`reachable`); a busy host's key exchange takes long.
        "ConnectTimeout": "20",
        "ControlPath": "none",
    }
    lines = [f"    {key} {value}" for key, value in options.items()]
    return "\n".join(["Host *", *lines, ""])


def _alias(host: HostState) -> str:
    """Return the name under which known_hosts holds the key, whatever the port."""
    return f"testbed-host-{host.name}"


def _wrapper(host: HostState, wrapper_dir: Path) -> Path:
    return wrapper_dir.absolute() / f"{host.name}.ssh"


def _quoted(path: str) -> str:
    return '"' + path.replace("%", "%%") + '"'
