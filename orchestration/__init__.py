"""The engine: from a kvm-compose.yaml to running guests, and back.

Plain Python over SSH, libvirt and Open vSwitch. It does not depend on the web, queues
or a database: `testbed` and `python -m orchestration` call it. ARCHITECTURE.md draws
its layers; each imports only the ones below it.
"""
