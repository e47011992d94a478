"""A guest as cloud-init is told about it; tests change what they are about.

Used by test_cloud_init.py and test_network_config.py.
"""

from orchestration.state.model import GuestState
from orchestration.state.model.images import ImageState


def guest(*interfaces, **changes):
    values = {
        "name": "web",
        "index": 0,
        "host": "host-a",
        "domain": "demo-web",
        "uuid": "9b5a0e0a-6d0c-5a63-8f3c-111111111111",
        "user": "nocloud",
        "cpus": 1,
        "memory_mib": 256,
        "expand_gib": 0,
        "image": ImageState(
            name="i", sha256="", format="qcow2", path="/i", main_path="/i"
        ),
        "artefacts_dir": "/a",
        "disk": "/a/d",
        "seed": "/a/s",
        "xml": "/a/x",
        "console": "/a/c",
        "interfaces": interfaces,
        "management": None,
        "environment": {},
        "spec_hash": "h",
    }
    return GuestState(**(values | changes))
