"""What must not be inherited: run in a golden image before it is shut down for good.

A clone is a machine of its own. Its first boot gives it a name, host keys and an
account; what that would leave alone, or what would tell of the testbed in which the
image was prepared, is removed here. For images with cloud-init, and the test guest.
"""

from orchestration.providers.guest.cloud_init import READY_FILE
from orchestration.providers.guest.user_script import RECORD
from orchestration.transport.base import Command, command

# The guest is ready before cloud-init's last modules ended, hence the wait.
# An empty machine-id means to systemd: take the machine's UUID, else a new one.
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
    """Return the command that seals an image; `user` is the account that we used."""
    return command("sh", "-c", SEAL, "seal", user).with_root()
