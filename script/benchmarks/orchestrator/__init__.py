"""The testbed of many small guests that several benchmarks bring up."""

from pathlib import Path

GUEST = """\
  - name: g{n}
    interfaces:
      - bridge: br{bridge}
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type:
        cloud_image:
          name: test_guest
          setup_script: setup.sh
"""


def write_testbed(target: Path, guests: int, hosts: int) -> None:
    """Write a testbed with its guests on a row of bridges, one bridge per host."""
    target.mkdir()
    bridges = min(hosts, guests)
    (target / "setup.sh").write_text("#!/bin/sh\necho hello\n")
    lines = ["machines:\n"]
    lines += [GUEST.format(n=n, bridge=n % bridges) for n in range(guests)]
    lines += ["network:\n", "  bridges:\n"]
    lines += [f"    - name: br{n}\n" for n in range(bridges)]
    if bridges > 1:
        lines.append("  bridge_connections:\n")
        lines += [f"    br{n}: br{n + 1}\n" for n in range(bridges - 1)]
    lines.append("  external_bridge: br0\n")
    (target / "kvm-compose.yaml").write_text("".join(lines))
