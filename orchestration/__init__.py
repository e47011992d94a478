"""The engine: from a kvm-compose.yaml to running guests, and back.

Plain Python over SSH, libvirt and Open vSwitch. It knows nothing of the web, of
queues or of a database: `testbed` calls it, and `python -m orchestration` does.
ARCHITECTURE.md draws its layers; each imports only the ones below it.
"""
