"""Delete images that nobody uses, as the task does and as the command does.

`prune` takes all that may go and tells what went; `command` is what an administrator
types, and returns what is said.
"""

from io import StringIO
from pathlib import Path

from django.core.management import call_command

from orchestration.state.model import State
from testbed.images.pruning import Images
from tests.testbed.images.image_hosts import Machines

OTHER_GOLDEN = "golden-fedcba9876543210.qcow2"


def name_of(state: State) -> str:
    return Path(state.guests[0].image.main_path).name


def prune(machines: Machines, *hosts: str) -> dict[str, set[str]]:
    """Delete all that may go; return what went, by host."""
    images = Images(machines)
    seen = images.observe(hosts)
    for found in seen:
        images.prune(found, lambda *_: True)
    return {found.host.name: {i.name for i in found.removed} for found in seen}


def command(*words: str) -> str:
    out = StringIO()
    call_command("prune_images", *words, stdout=out)
    return out.getvalue()
