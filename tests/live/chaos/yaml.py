"""The YAML of a chaotic testbed, from the few choices that edits change."""

from dataclasses import dataclass, field

MACHINE = """\
  - name: {name}
    interfaces: [{interfaces}]
    libvirt:
      cpus: 1
      memory_mb: {memory_mib}
      libvirt_type:
        cloud_image:
          name: test_guest
"""
SCRIPT = "          setup_script: scripts/setup.sh\n"
# The first bridge is at home on main, the second on the other host.
NETWORK = """\
network:
  bridges: [{bridges}]
{links}  external_bridge: br0
"""


@dataclass(frozen=True)
class Machine:
    """One guest as written."""

    bridges: tuple[str, ...]
    memory_mib: int = 128


@dataclass(frozen=True)
class Written:
    """A testbed as written."""

    bridges: tuple[str, ...]
    machines: dict[str, Machine] = field(default_factory=dict)
    has_script: bool = False

    def text(self) -> str:
        """Return the kvm-compose.yaml."""
        machines = "".join(self._machine(*item) for item in self.machines.items())
        names = ", ".join(f"{{name: {name}}}" for name in self.bridges)
        is_linked = {"br0", "br1"} <= set(self.bridges)
        links = "  bridge_connections: {br0: br1}\n" if is_linked else ""
        return f"machines:\n{machines}" + NETWORK.format(bridges=names, links=links)

    def _machine(self, name: str, machine: Machine) -> str:
        cards = ", ".join(f"{{bridge: {bridge}}}" for bridge in machine.bridges)
        text = MACHINE.format(
            name=name, interfaces=cards, memory_mib=machine.memory_mib
        )
        return text + (SCRIPT if self.has_script else "")
