"""An act on a snapshot as forms and programs send it."""

from django.utils import timezone
from pydantic import BaseModel

from orchestration.errors import ExecutionRefused
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish, checked
from testbed.access.visibility import Request
from testbed.views.forms import read_json
from testbed.views.problems import JSON

# As in other selections; the act is then on a group snapshot.
ALL = "@all"
# It is no run: the YAML of a group snapshot becomes the present one.
PUT_YAML_BACK = "put-yaml-back"


class SnapshotForm(BaseModel):
    """An act on a snapshot of one guest, or of all.

    `keep`: take a snapshot `before` a restore; a program leaves it out and names it.
    `confirm` is the token of what the act erases.
    """

    verb: str = ""
    guest: str = ""
    name: str = ""
    description: str = ""
    before: str = ""
    keep: str = "on"
    children: bool = False
    title: str = ""
    confirm: str = ""

    @property
    def is_group(self) -> bool:
        """Return whether it is for all guests."""
        return self.guest == ALL

    def wish(self, by: str) -> SnapshotWish:
        """Return what was asked for. Raises: ExecutionRefused."""
        if self.verb not in list(SnapshotVerb):
            raise ExecutionRefused(
                f"Nothing is called `{self.verb}` for a snapshot.",
                hint=f"Use one of {', '.join(SnapshotVerb)}.",
            )
        verb = SnapshotVerb(self.verb)
        is_restore = verb is SnapshotVerb.RESTORE
        is_new = verb is SnapshotVerb.CREATE
        return checked(
            SnapshotWish(
                verb,
                # Other programs make names with spaces at their ends.
                self.name.strip() if is_new else self.name,
                by,
                description=self.description.strip(),
                before=self.before.strip() if is_restore and self.keep else "",
                children=self.children and verb is SnapshotVerb.DELETE,
                title=self.title.strip() if verb is SnapshotVerb.RENAME else "",
                is_group=self.is_group,
            )
        )


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
