"""The peers: virt-install in parallel, Vagrant with its libvirt provider, and kcli.

Each gets overlays of the same image, one processor, the same memory, a card in the
same NAT network and KVM where the product uses it; the rest are its own defaults. kcli
sizes disks in whole gibibytes, so its guests grow theirs. For virt-install and kcli the
seed is a virtio disk, as ours: Debian's cloud kernel has no driver for their SATA drive.
Vagrant's and kcli's own provisioning is not used: the test guest has neither scp nor
cloud-init.
"""

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.peers.site import (
    CPUS,
    IMAGE,
    MEMORY_MIB,
    NETWORK,
    USER,
    VIRSH,
    CannotRun,
    PeerGuest,
    Site,
)
from tests.live.stack import CHECKOUT

KCLI = "kcli==99.0.202610251748"
BOX = "test_guest"
INSTALL = """\
source script/lab/common.sh
source script/lab/packages.sh
ensure_packages "$@"
"""
VAGRANTFILE = """\
Vagrant.configure("2") do |config|
  config.vm.box = "{box}"
  config.vm.guest = :linux
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.ssh.username = "{user}"
  config.ssh.private_key_path = "{key}"
  config.ssh.insert_key = false
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = "{driver}"
    libvirt.uri = "qemu:///system"
    libvirt.cpus = {cpus}
    libvirt.memory = {memory_mib}
    libvirt.management_network_name = "{network}"
    libvirt.management_network_keep = true
  end
{guests}end
"""
VAGRANT_GUEST = """\
  config.vm.define "{name}" do |guest|
    guest.vm.provider :libvirt do |libvirt|
      libvirt.management_network_mac = "{mac}"
      libvirt.storage :file, device: :cdrom, path: "{seed}"
    end
  end
"""


class Peer:
    """One tool: where it comes from, how it makes guests and how it deletes them."""

    title: ClassVar[str]
    program: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    def __init__(self, site: Site) -> None:
        self.site = site

    def install(self) -> None:
        """Install it on this machine. Raises: CannotRun with what apt said."""
        self.site.run(
            ["env", f"--chdir={CHECKOUT}", "bash", "-euc", INSTALL, "-", *self.packages]
        )

    def find(self) -> None:
        """Look for it on this machine. Raises: CannotRun."""
        if not shutil.which(self.program):
            raise CannotRun(f"this machine has no {self.program}; --peers installs it")

    def prepare(self) -> None:
        """Make what exists before the clock starts. Raises: CannotRun."""

    def create(self, guests: Sequence[PeerGuest]) -> list[list[str]]:
        """Return the commands that make and start guests, all run at once."""
        raise NotImplementedError

    def delete(self) -> None:
        """Delete guests that `create` made, whole or in part."""


class VirtInstall(Peer):
    """One virt-install a guest, all at the same time."""

    title = "virt-install, in parallel"
    program = "virt-install"
    packages = ("virtinst",)

    def create(self, guests: Sequence[PeerGuest]) -> list[list[str]]:
        """Return a command a guest: the overlay, then virt-install."""
        return [self._command(guest) for guest in guests]

    def _command(self, guest: PeerGuest) -> list[str]:
        pool = self.site.pool
        disk = pool / f"{guest.name}.qcow2"
        overlay = f"qemu-img create -q -f qcow2 -F qcow2 -b {pool / IMAGE} {disk}"
        words = [self.program, "--connect", VIRSH[-1], "--name", guest.name]
        words += ["--import", "--disk", f"path={disk},format=qcow2"]
        words += ["--virt-type", self.site.domain_type]
        words += ["--vcpus", str(CPUS), "--memory", str(MEMORY_MIB)]
        words += ["--network", f"network={NETWORK},mac={guest.mac}"]
        seed = f"path={self.site.seed(guest)},format=raw,bus=virtio,readonly=on"
        words += ["--disk", seed]
        words += ["--osinfo", "linux2022", "--graphics", "none", "--noautoconsole"]
        return self.site.argv("sh", "-c", f'{overlay} && exec "$@"', "-", *words)


class Vagrant(Peer):
    """`vagrant up`, which brings all machines of a Vagrantfile up in parallel."""

    title = "vagrant up, libvirt provider"
    program = "vagrant"
    packages = ("vagrant", "vagrant-libvirt")

    def prepare(self) -> None:
        """Add the image as a box. Raises: CannotRun."""
        box = self.site.folder / "test_guest.box"
        metadata = self.site.folder / "metadata.json"
        disks = [{"path": "box.img"}]
        described = {"provider": "libvirt", "format": "qcow2", "disks": disks}
        metadata.write_text(json.dumps(described))
        with tarfile.open(box, "w") as archive:
            archive.add(metadata, "metadata.json")
            archive.add(self.site.pool / IMAGE, "box.img")
        self.site.run(self._argv("box", "add", "--name", BOX, str(box)))

    def create(self, guests: Sequence[PeerGuest]) -> list[list[str]]:
        """Write the Vagrantfile and return the one command."""
        text = VAGRANTFILE.format(
            box=BOX,
            user=USER,
            key=self.site.key,
            driver=self.site.domain_type,
            cpus=CPUS,
            memory_mib=MEMORY_MIB,
            network=NETWORK,
            guests="".join(
                VAGRANT_GUEST.format(
                    name=guest.name, mac=guest.mac, seed=self.site.seed(guest)
                )
                for guest in guests
            ),
        )
        (self.site.folder / "Vagrantfile").write_text(text)
        return [self._argv("up", "--provider", "libvirt")]

    def delete(self) -> None:
        """Let Vagrant forget its machines."""
        subprocess.run(self._argv("destroy", "-f"), capture_output=True)

    def _argv(self, *words: str) -> list[str]:
        return self.site.argv(
            self.program,
            *words,
            VAGRANT_HOME=str(self.site.folder / "home/vagrant"),
            VAGRANT_CHECKPOINT_DISABLE="1",
            VAGRANT_BOX_UPDATE_CHECK_DISABLE="1",
        )


class Kcli(Peer):
    """`kcli create plan --threaded`, in a virtual environment of its own."""

    title = "kcli create plan --threaded"
    program = "kcli"
    packages = (
        "python3-venv",
        "python3-dev",
        "gcc",
        "pkg-config",
        "libvirt-dev",
        "xorriso",
    )

    def install(self) -> None:
        """Install it below the site's folder. Raises: CannotRun with what pip said."""
        super().install()
        place = self._venv
        self.site.run([sys.executable, "-m", "venv", str(place)])
        pip = [str(place / "bin/pip"), "install", "--quiet"]
        self.site.run([*pip, KCLI, *_pinned("libvirt-python")])

    def find(self) -> None:
        """Look for it in its folder, then on this machine. Raises: CannotRun."""
        if not self._own.exists():
            super().find()

    def create(self, guests: Sequence[PeerGuest]) -> list[list[str]]:
        """Write the plan and return the one command."""
        plan = {
            guest.name: {
                "image": IMAGE,
                "virttype": self.site.domain_type,
                "numcpus": CPUS,
                "memory": MEMORY_MIB,
                "disks": [1, {"name": self._seed(guest), "thin": False}],
                "cloudinit": False,
                "nets": [{"name": NETWORK, "mac": guest.mac}],
            }
            for guest in guests
        }
        path = self.site.folder / "plan.yml"
        path.write_text(json.dumps(plan))
        return [self._argv("create", "plan", "--threaded", "-f", str(path), "peers")]

    def _seed(self, guest: PeerGuest) -> str:
        """Put a guest's seed into the pool; return its name there."""
        name = f"{guest.name}-seed.iso"
        shutil.copy(self.site.seed(guest), self.site.pool / name)
        return name

    def delete(self) -> None:
        """Let kcli delete the plan."""
        words = self._argv("delete", "plan", "--yes", "peers")
        subprocess.run(words, capture_output=True)

    @property
    def _venv(self) -> Path:
        return self.site.folder / "kcli"

    @property
    def _own(self) -> Path:
        return self._venv / "bin/kcli"

    def _argv(self, *words: str) -> list[str]:
        program = str(self._own) if self._own.exists() else self.program
        return self.site.argv(program, *words)


def _pinned(package: str) -> list[str]:
    """Return the product's requirement of a package: that one builds here."""
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line.startswith(f"{package}==")]


PEERS: tuple[type[Peer], ...] = (VirtInstall, Vagrant, Kcli)
