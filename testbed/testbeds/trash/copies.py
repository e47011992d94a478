"""Throws away the copy of a testbed whose disks a run did not save.

The copy was made with the run, so that its name is taken; its YAML names images that do
not exist now. `runs/outcome.py` calls this at the run's end.
"""

import logging

from orchestration.errors import TestbedError
from testbed.access.permissions import Act
from testbed.access.record import write_on_testbed
from testbed.models import Run, Testbed
from testbed.testbeds.erasure.deletions import erased_testbed
from testbed.testbeds.files import remove_testbed

logger = logging.getLogger(__name__)


def throw_copy_away(run: Run) -> None:
    """Delete the copy that a run was for; one that its owner has used since stays."""
    drafts = Testbed.objects.filter(condition=Testbed.Condition.EMPTY, runs=None)
    copy = drafts.filter(pk=run.options.get("copy"), owner=run.asked_by).first()
    if copy is None:
        return
    try:
        # Without a trash its files die: they are those of the testbed that was copied.
        remove_testbed(copy, run.asked_by, confirm=erased_testbed(copy).token)
    except TestbedError as exc:
        logger.info("the copy %s of %s stays: %s", copy, run.testbed, exc)
        return
    what = f"the copy: run {run.pk} did not save its disks"
    write_on_testbed(None, Act.DELETE.name.lower(), copy, what)
