"""Removes the uploads that no client went on with, and parts that no row knows."""

from pathlib import Path

from django.conf import settings
from django.utils import timezone

from orchestration.locks import held_if_free
from testbed.models import Upload
from testbed.testbeds.resumable.receiving import KEPT, part_of, remove

MOST_AT_ONCE = 500


def forget_old_uploads() -> int:
    """Remove the uploads that expired; return how many. The housekeeping calls it."""
    rows = Upload.objects.filter(expires_at__lt=timezone.now())
    gone = 0
    for upload in rows.select_related("testbed")[:MOST_AT_ONCE]:
        with held_if_free(part_of(upload)) as is_held:
            # A part may have come just now, or come at this moment.
            if is_held and rows.filter(pk=upload.pk).exists():
                remove(upload)
                gone += 1
    return gone + _remove_lost_parts()


def _remove_lost_parts() -> int:
    """Remove old parts without a row: of a crash, or of a testbed from the trash."""
    limit = (timezone.now() - KEPT).timestamp()
    found = [
        part
        for part in Path(settings.TESTBEDS_DIR).glob("*/uploads/*")
        if part.lstat().st_mtime < limit
    ][:MOST_AT_ONCE]
    known = Upload.objects.filter(key__in=[part.name for part in found])
    keys = set(known.values_list("key", flat=True))
    lost = [part for part in found if part.name not in keys]
    for part in lost:
        part.unlink(missing_ok=True)
    return len(lost)
