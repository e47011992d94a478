"""What Celery workers do: batches of instructions, and looking after runs.

    worker      what one worker process keeps: connections, the cancel signal
    ending      how a run ends: its status, its words, the testbed's condition
    dispatch    accepting instructions, whoever drives; sending batches
    joining     the end of a batch, of an instruction; what comes next
    cancelling  asking to stop, and proving that everything stopped
    lease       a worker's hold on its batch, and what it may not do without
    batches     one batch on one host, from claim to proof
    periodic    looking for what was lost: leases, messages, drivers, leftovers
    noticing    writing down what hosts hold, and what is missing of a testbed
    observe     looking at what the hosts really have
    known_states  what all states need, read again only where they changed
    images      the hosts' images: who uses which, and deleting the others
    image_cleanups  deleting those that an admin chose
    orphans     which things on the hosts belong to no testbed
    cleanups    deleting those
    trash       folders of deleted testbeds, until they are gone
    retention   forgetting the logs of old runs
    stale_files removing files that nothing refers to
    upkeep      what is done beside the runs, now and then

Each module imports only those above it. Tasks get ids, never objects.
"""

from testbed.tasks.batches import run_batch
from testbed.tasks.cleanups import clean_up
from testbed.tasks.images import observe_images
from testbed.tasks.observe import observe
from testbed.tasks.periodic import adopt, sweep
from testbed.tasks.stale_files import sweep_files
from testbed.tasks.upkeep import keep_house

__all__ = [
    "adopt",
    "clean_up",
    "keep_house",
    "observe",
    "observe_images",
    "run_batch",
    "sweep",
    "sweep_files",
]
