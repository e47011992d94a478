"""Mails that carry a link, and whether this installation can send them.

Links begin with the first of TESTBED_TRUSTED_ORIGINS, never with the address by which a
request came: that is its sender's to choose. Without such an origin, or without a mail
server, no link is mailed.
"""

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from orchestration.errors import TestbedError

logger = logging.getLogger(__name__)


class MailFailed(TestbedError):
    """The mail server did not take a mail."""


def can_mail() -> bool:
    """Return whether links can be mailed."""
    return bool(settings.EMAIL_HOST and settings.CSRF_TRUSTED_ORIGINS)


def send_later(to: str, subject: str, template: str, **values: object) -> bool:
    """Send a mail that a worker was asked for; one that fails is logged alone.

    Return whether it was sent. Its user, who was promised nothing, asks again.
    """
    try:
        send_link(to, subject, template, **values)
    except MailFailed as exc:
        logger.warning("%s %s", exc.sentence, exc.detail)
        return False
    return True


def send_link(to: str, subject: str, template: str, **values: object) -> None:
    """Send a mail of a template with its values. Raises: MailFailed."""
    text = render_to_string(f"account/mails/{template}.txt", values)
    try:
        EmailMessage(subject, text, to=[to]).send()
    except (SMTPException, OSError, ValueError) as exc:
        raise MailFailed(
            f"The mail to {to} was not sent.",
            hint="Look into the server's settings for mail.",
            detail=str(exc),
        ) from exc
