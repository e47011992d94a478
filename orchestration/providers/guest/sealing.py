"""Seals a golden image: removes data that clones must not inherit.

Runs before the image's last shutdown. A clone's first boot gives it a name, host keys
and an account. The sealing removes data that this boot would keep, and traces of the
testbed that prepared the image. For images with cloud-init, and the test guest.
"""

from orchestration.providers.guest.cloud_init import READY_FILE
from orchestration.providers.guest.user_script import RECORD
from orchestration.transport.base import Command, command

# The guest is ready before cloud-init's last modules ended, hence the wait.
# systemd replaces an empty machine-id by the machine's UUID, else by a new one.
SEAL = f"""\
set -e
home=$(awk -F: -v name="$1" '$1 == name {{ print $6 }}' /etc/passwd)
rm -f {READY_FILE} {RECORD}
rm -f /root/.ssh/authorized_keys ${{home:+"$home/.ssh/authorized_keys"}}
rm -f /etc/ssh/ssh_host_*_key* /etc/dropbear/ed25519 /etc/dropbear/dropbear_*_host_key
rm -f /etc/sudoers.d/90-cloud-init-users
rm -f /var/lib/systemd/random-seed /var/lib/dhcp/*.leases
[ ! -e /etc/machine-id ] || : > /etc/machine-id
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
if command -v cloud-init > /dev/null; then
  cloud-init status --wait > /dev/null || true
  cloud-init clean --logs
fi
sync
"""


def seal(user: str) -> Command:
    """Return the command that seals an image; `user` is our account in it."""
    return command("sh", "-c", SEAL, "seal", user).with_root()
