"""Links for a new password, mailed to the addresses of accounts.

Both the page and its answer are the same for every address: a worker alone looks
whether there is an account.
"""

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from celery import shared_task
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from testbed.access.record import write
from testbed.accounts.mails import can_mail, send_later
from testbed.models.accounts.directory import is_of_directory
from testbed.models.record.entries import PASSWORD
from testbed.notifications.delivery import whole_address

SUBJECT = "A new password for the testbed lab"
# Of one address; more than a few accounts share none.
MOST_ACCOUNTS = 5


@shared_task(name="testbed.tasks.accounts.mail_reset", ignore_result=True)
def mail_reset(email: str, address: str) -> None:
    """Mail a link to each account of an address; `address` is the asker's.

    Accounts without a password here, whose users sign in elsewhere, get none.
    """
    if not can_mail():
        return
    users = User.objects.filter(email__iexact=email, is_active=True).order_by("pk")
    for user in users[:MOST_ACCOUNTS]:
        if not user.has_usable_password() or is_of_directory(user):
            continue
        values = {"account": user, "link": _link(user), "hours": _hours()}
        write(user, PASSWORD, "was sent a link for a new password", address=address)
        send_later(user.email, SUBJECT, "reset", **values)


def _link(user: User) -> str:
    key = default_token_generator.make_token(user)
    parts = {"uidb36": user_pk_to_url_str(user), "key": key}
    return whole_address(reverse("account_reset_password_from_key", kwargs=parts))


def _hours() -> int:
    return max(1, settings.PASSWORD_RESET_TIMEOUT // 3600)
