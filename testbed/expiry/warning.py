"""The words of the warning before an end; `notifications/` tells and mails it."""

from testbed.models import Expiry
from testbed.notifications.telling import tell_end_near
from testbed.reservations.moments import in_words

AT_END = {
    Expiry.Action.SNAPSHOT: "A snapshot of all guests is taken, and they are stopped.",
    Expiry.Action.STOP: "All guests are stopped; what they have in memory is lost.",
}


def tell_end(expiry: Expiry) -> None:
    """Tell the owner that a testbed's end is near; inside a transaction.

    Lab admins, who read it where the owner left, do not know a name alone.
    """
    testbed, ends_at = expiry.testbed, expiry.ends_at
    if testbed.owner.is_active:
        testbed.seen_by(testbed.owner)
    when = in_words(ends_at) if ends_at else ""
    why = ""
    if expiry.idle_at is not None and expiry.planned_at == expiry.idle_at:
        why = " earlier than planned, because it is not used; any use puts that off"
    text = (
        f"Testbed {testbed} ends at {when}{why}. "
        f"{AT_END.get(Expiry.Action(expiry.action), '')} Disks and files stay. "
        "To go on, press Extend on its page."
    )
    tell_end_near(expiry, f"Testbed {testbed} ends at {when}", text)
