"""A guest makes its SSH host key itself and reports the public one to its host.

The report goes through a virtio port, which only root in the guest can write to; QEMU
keeps it in a file, which only root on the host can read. So the key is known without a
login, and no private key is in the seed. `cloud_init.py` puts `REPORT_SCRIPT` on the
seed, `domain.py` adds the port, `instructions/boot/host_keys.py` pins the key.
"""

import base64
import binascii
import re

from orchestration.state.model.guests import HOST_KEY_PORT
from orchestration.transport.base import Scope, Transport, command

# cloud-init is to make this kind only, and to keep it.
CLOUD_CONFIG = {"ssh_deletekeys": False, "ssh_genkeytypes": ["ed25519"]}
_READ_BYTES = 4096
_ASK_TIMEOUT_S = 15.0
_LINE = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")
_KIND = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"

# Of the first boot, also of a clone, are all boots before `ready` exists: the keys of
# an image are no secret. A port appears a moment after its driver.
_REPORT = """\
key=/etc/ssh/ssh_host_ed25519_key
[ -e {ready} ] || rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
[ -s $key ] || {{ rm -f $key; ssh-keygen -q -t ed25519 -N '' -C '' -f $key; }}
! command -v restorecon > /dev/null || restorecon /etc/ssh/ssh_host_*
modprobe -q virtio_console
tries=0
until grep -qsx {port} /sys/class/virtio-ports/*/name || [ $tries -ge 50 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
for name in /sys/class/virtio-ports/*/name; do
  [ "$(cat "$name")" = {port} ] || continue
  name=${{name%/name}}
  ssh-keygen -y -f $key | cut -d ' ' -f 1,2 > "/dev/${{name##*/}}"
done
"""


def report_script(ready: str) -> str:
    """Return the script of each boot; `ready` is the file of a first boot that ended."""
    return _REPORT.format(ready=ready, port=HOST_KEY_PORT)


def read_report(transport: Transport, path: str, *, scope: Scope) -> str:
    """Return the public key that a guest reported last in this start, or ''.

    The guest may have written anything. Raises: HostUnreachable, Cancelled.
    """
    tail = command("tail", "-c", str(_READ_BYTES), path).with_root()
    said = transport.run(tail, scope=scope, timeout_s=_ASK_TIMEOUT_S, check=False)
    if said.exit_code != 0:
        return ""
    found = [line for line in said.stdout.splitlines() if _is_key(line)]
    return found[-1] if found else ""


def _is_key(line: str) -> bool:
    if not _LINE.fullmatch(line):
        return False
    try:
        blob = base64.b64decode(line.split()[1], validate=True)
    except binascii.Error:
        return False
    return blob.startswith(_KIND)
