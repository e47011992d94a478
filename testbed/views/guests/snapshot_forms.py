"""An act on a snapshot as forms and programs send it."""

from django.utils import timezone

from orchestration.errors import ExecutionRefused
from orchestration.plan.snapshots import SnapshotVerb
from testbed.access.visibility import Request
from testbed.pages.guests.snapshot_acts import SnapshotForm
from testbed.views.forms import read_json
from testbed.views.problems import JSON


def read_form(request: Request) -> SnapshotForm:
    """Read the request. Raises: ExecutionRefused."""
    if request.content_type != JSON:
        values: dict[str, object] = {key: request.POST[key] for key in request.POST}
        is_answer = bool(values.get("confirm"))
        is_restore = values.get("verb") == SnapshotVerb.RESTORE
        # A box that is not ticked is not sent.
        keep = values.get("keep", "") if is_answer else "on"
        if is_restore and not is_answer:
            values["before"] = f"before-{timezone.localtime():%Y%m%d-%H%M%S}"
        elif is_restore and keep:
            _require_before(request.POST.get("before", ""))
        values |= {"keep": keep, "children": bool(values.get("children"))}
        return SnapshotForm.model_validate(values)
    return read_json(request, SnapshotForm, "an act on a snapshot")


def _require_before(name: str) -> None:
    """Refuse to keep the present state without a name: it would be lost."""
    if not name.strip():
        raise ExecutionRefused(
            "The snapshot of the present state has no name.",
            hint="Write one, or untick that it is taken.",
        )
