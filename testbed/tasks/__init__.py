"""What Celery workers do: batches of instructions, and looking after runs.

    worker      what one worker process keeps: connections, the cancel signal
    ending      how a run ends: its status, its words, the testbed's condition
    dispatch    accepting instructions, whoever drives; sending batches
    joining     the end of a batch, of an instruction; what comes next
    cancelling  asking to stop, and proving that everything stopped
    batches     one batch on one host, from claim to proof
    periodic    looking for what was lost: leases, messages, drivers, leftovers
    noticing    writing down what hosts hold, and what is missing of a testbed
    observe     looking at what the hosts really have

Each module imports only those above it. Tasks get ids, never objects.
"""

from testbed.tasks.batches import run_batch
from testbed.tasks.observe import observe
from testbed.tasks.periodic import adopt, sweep

__all__ = ["adopt", "observe", "run_batch", "sweep"]
