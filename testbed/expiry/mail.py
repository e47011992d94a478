"""Mails the warning before an end, once: a mail that cannot be sent is logged.

Without a server for mail (`TESTBED_SMTP_HOST`) none is sent; the page warns all the same.
"""

import logging
from collections.abc import Iterable
from smtplib import SMTPRecipientsRefused, SMTPResponseException

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage, get_connection
from django.urls import reverse

from testbed.expiry.changes import said
from testbed.models import Expiry

logger = logging.getLogger(__name__)
MOST_ADMINS = 20
AT_END = {
    Expiry.Action.SNAPSHOT: "A snapshot of all guests is taken, and they are stopped.",
    Expiry.Action.STOP: "All guests are stopped; what they have in memory is lost.",
}


def send_warnings(warned: Iterable[Expiry]) -> int:
    """Mail the warnings; return how many mails were sent. Raises nothing."""
    messages = [message for message in map(_message, warned) if message.to]
    if not messages or not settings.EMAIL_HOST:
        return 0
    connection, sent = get_connection(), 0
    try:
        connection.open()
        for message in messages:
            message.connection = connection
            try:
                sent += message.send()
            except (SMTPRecipientsRefused, SMTPResponseException, ValueError) as exc:
                logger.warning("no mail to %s: %s", message.to, exc)
        connection.close()
    except OSError as exc:  # the server is away: it would be for the others, too
        left = len(messages) - sent
        logger.warning("%d mails about ends were not sent: %s", left, exc)
    return sent


def _message(expiry: Expiry) -> EmailMessage:
    testbed, ends_at = expiry.testbed, expiry.ends_at
    when = said(ends_at) if ends_at else ""
    why = ""
    if expiry.idle_at is not None and expiry.planned_at == expiry.idle_at:
        why = " earlier than planned, because it is not used; any use puts that off"
    text = (
        f"Testbed {testbed} ends at {when}{why}.\n\n"
        f"{AT_END.get(Expiry.Action(expiry.action), '')} Disks and files stay.\n\n"
        f"To go on, press Extend on its page: {_address(testbed.slug)}\n"
    )
    return EmailMessage(
        f"Testbed {testbed} ends at {when}", text, to=_addresses(testbed.owner)
    )


def _addresses(owner: User) -> list[str]:
    """Return the owner's address, or those of lab admins where the owner has left."""
    if owner.is_active:
        return [owner.email] if owner.email else []
    admins = User.objects.filter(is_active=True, is_superuser=True).exclude(email="")
    return list(admins.order_by("pk").values_list("email", flat=True)[:MOST_ADMINS])


def _address(slug: str) -> str:
    origins = settings.CSRF_TRUSTED_ORIGINS
    return f"{origins[0] if origins else ''}{reverse('testbed', args=[slug])}"
