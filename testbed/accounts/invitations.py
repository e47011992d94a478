"""Invitations by lab admins, the first admin's link, and users' own registration.

All three are one thing, a link that makes one account once. A registration proves the
address by mailing the link to it.
"""

import logging

from celery import shared_task
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.urls import reverse

from orchestration.errors import TestbedError
from testbed.access.record import write
from testbed.accounts.mails import MailFailed, can_mail, send_later, send_link
from testbed.models.accounts.invitations import LASTS, Invitation
from testbed.models.record.entries import INVITATIONS
from testbed.notifications.delivery import whole_address

logger = logging.getLogger(__name__)
MOST_EMAIL = 254
INVITED = "An account in the testbed lab"


class NotInvited(TestbedError):
    """An invitation cannot be made or used."""


def invite(email: str, by: User) -> tuple[Invitation, str]:
    """Make an invitation, and mail it where mail is set up; return it and its link.

    The link is empty when it was mailed. Raises: NotInvited.
    """
    email = email.strip()
    require_address(email)
    if User.objects.filter(email__iexact=email).exists():
        raise NotInvited(f"There is already an account with the address {email}.")
    row, token = Invitation.objects.make(email, str(by))
    write(by, INVITATIONS, f"invited {email}", thing=email)
    link = link_of(token)
    if not can_mail():
        return row, link
    try:
        send_link(email, INVITED, "invitation", **_words(row, link))
    except MailFailed as exc:
        logger.warning("%s %s", exc.sentence, exc.detail)
        return row, link
    return row, ""


def withdraw(row: Invitation, by: User) -> None:
    """Remove an invitation that was not used. Raises: NotInvited (it was meanwhile)."""
    with transaction.atomic():
        mine = Invitation.objects.open().select_for_update().filter(pk=row.pk).first()
        if mine is None:
            raise NotInvited(
                "This invitation was used, or has ended.",
                hint="It cannot be withdrawn any more.",
            )
        mine.delete()
        write(by, INVITATIONS, f"withdrew {row}", thing=row.email)


def require_address(email: str) -> None:
    """Require an address for mail. Raises: NotInvited."""
    try:
        validate_email(email)
    except ValidationError as exc:
        raise NotInvited("This is no address for mail.") from exc
    if len(email) > MOST_EMAIL:
        raise NotInvited(f"An address has at most {MOST_EMAIL} characters.")


def may_register(email: str) -> bool:
    """Return whether users of this address may make themselves an account."""
    domain = email.rpartition("@")[2].lower()
    return domain in settings.REGISTRATION_DOMAINS


def takes_registrations() -> bool:
    """Return whether users may make themselves an account at all."""
    return bool(settings.REGISTRATION_DOMAINS) and can_mail()


@shared_task(name="testbed.tasks.accounts.mail_registration", ignore_result=True)
def mail_registration(email: str) -> None:
    """Mail the link that makes an account, or say which account there is.

    A worker does it, so that the page answers as fast whatever accounts there are.
    """
    if not (takes_registrations() and may_register(email)):
        return
    account = User.objects.filter(email__iexact=email).first()
    if account is not None:
        page = whole_address(reverse("account_login"))
        values = {"account": account, "page": page}
        send_later(account.email, "Your account in the testbed lab", "known", **values)
        return
    row, token = Invitation.objects.make(email, "")
    if not send_later(email, INVITED, "invitation", **_words(row, link_of(token))):
        row.delete()


def first_admin_link() -> str:
    """Return a link that makes the first lab admin. Raises: NotInvited."""
    if _has_admin():
        raise NotInvited("There is a lab admin already, who can invite others.")
    Invitation.objects.filter(makes_admin=True, used_at=None).delete()
    return link_of(Invitation.objects.make("", "", makes_admin=True)[1])


def use(pk: int, user: User) -> None:
    """Save the account of an invitation, which is then used. Raises: NotInvited."""
    gone = NotInvited(
        "This invitation was used, or has ended.", hint="Ask a lab admin for another."
    )
    try:
        with transaction.atomic():
            row = Invitation.objects.get(pk=pk)
            links = Invitation.objects.filter(email__iexact=row.email)
            list(links.select_for_update())  # of one address, one after the other
            if not Invitation.objects.use(pk, user.username):
                raise gone
            if row.makes_admin and _has_admin():
                raise gone
            if row.email and User.objects.filter(email__iexact=row.email).exists():
                raise NotInvited(
                    f"There is already an account with the address {row.email}.",
                    hint="Sign in to it, or ask a lab admin for another invitation.",
                )
            user.email = row.email
            user.is_staff = user.is_superuser = row.makes_admin
            user.save()
            by = f"invited by {row.made_by}" if row.made_by else "by an own link"
            write(user, INVITATIONS, f"made the account, {by}", thing=row.email)
    except IntegrityError as exc:
        raise NotInvited(
            f"There is already an account {user.username}.",
            hint="Go back and choose another name.",
        ) from exc


def link_of(token: str) -> str:
    """Return the address of the page that makes the account."""
    return whole_address(reverse("invitation", args=[token]))


def _has_admin() -> bool:
    return User.objects.filter(is_superuser=True, is_active=True).exists()


def _words(row: Invitation, link: str) -> dict[str, object]:
    return {"by": row.made_by, "link": link, "days": LASTS.days}
