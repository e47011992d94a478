"""Limits attempts to sign in, and mails that strangers ask for, and logs the outcome.

An attempt is counted before the password is hashed, so that simultaneous attempts do
not pass together, and cost no processor time once the limit is reached. An account has
a low limit for each address and a high one for all: one address cannot lock an account
for the others. A success takes its attempt back.
"""

import logging
import math
from dataclasses import dataclass

from allauth.account.signals import password_changed, password_reset
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.auth.signals import (
    user_logged_in,
    user_logged_out,
    user_login_failed,
)
from django.db.models import F
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from orchestration.errors import TestbedError
from testbed.access.origin import address_of, client_of
from testbed.access.record import Outcome, write
from testbed.models.record.entries import PASSWORD, SIGN_IN, SIGN_OUT
from testbed.models.record.logins import WINDOW, LoginCount

logger = logging.getLogger(__name__)
PER_ADDRESS = 60
PER_ACCOUNT_AND_ADDRESS = 10
PER_ACCOUNT = 100
# Mails that one address asks for, and those to one mailbox.
MAILS_PER_ADDRESS = 20
MAILS_PER_MAILBOX = 5
# As long as an account's name.
MAX_NAME = 150


class TooManyLogins(TestbedError):
    """The limit is reached; the next attempt may come after `wait_s`."""

    def __init__(
        self, row: LoginCount, message: str = "There were too many attempts to sign in."
    ) -> None:
        end = row.since + WINDOW
        self.wait_s = max(1, math.ceil((end - timezone.now()).total_seconds()))
        until = timezone.localtime(end)
        super().__init__(
            message,
            hint=f"Try again at {until:%H:%M:%S}, or ask your lab's admin to delete the "
            "login counts of your account.",
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to sign in to an account from an address."""

    account: str
    address: str

    @property
    def limits(self) -> dict[str, int]:
        """The most attempts of each subject; the address is the first.

        The name comes last: a user types it, and it may look like an address.
        """
        address = f"address {client_of(self.address)}"
        account = f"account {self.account}"
        return {
            address: PER_ADDRESS,
            f"{address}, {account}": PER_ACCOUNT_AND_ADDRESS,
            account: PER_ACCOUNT,
        }

    def count(self) -> None:
        """Count this attempt. Raises: TooManyLogins."""
        for subject, limit in self.limits.items():
            row = LoginCount.objects.add(subject)
            if row.attempts > limit:
                logger.warning("%r may not try to sign in for now.", subject)
                raise TooManyLogins(row)

    def take_back(self) -> None:
        """Forget the account's attempts, and this one of the address."""
        address, *others = self.limits
        LoginCount.objects.filter(subject__in=others).delete()
        LoginCount.objects.filter(subject=address, attempts__gt=0).update(
            attempts=F("attempts") - 1
        )


def attempt_at(name: str, request: HttpRequest) -> Attempt:
    """Return the attempt that a request makes at an account of this name.

    Names that differ in case alone are one: a directory takes them for one.
    """
    name = User.normalize_username(name.replace("\0", "")).lower()
    return Attempt(name[:MAX_NAME], address_of(request))


def count_mail(mailbox: str, request: HttpRequest) -> None:
    """Count a mail that a stranger asks for. Raises: TooManyLogins.

    It is counted whether there is such an account or not.
    """
    limits = {
        f"mails for address {client_of(address_of(request))}": MAILS_PER_ADDRESS,
        f"mails to {mailbox.lower()[:MAX_NAME]}": MAILS_PER_MAILBOX,
    }
    for subject, limit in limits.items():
        row = LoginCount.objects.add(subject)
        if row.attempts > limit:
            logger.warning("%r has to wait.", subject)
            raise TooManyLogins(row, "There were too many requests for mails.")


@receiver(user_logged_in)
def record_sign_in(
    sender: object, request: HttpRequest, user: AbstractBaseUser, **more: object
) -> None:
    """Record who signed in, from where."""
    write(user, SIGN_IN, "signed in", address=address_of(request))


@receiver(user_logged_out)
def record_sign_out(
    sender: object,
    request: HttpRequest,
    user: AbstractBaseUser | None,
    **more: object,
) -> None:
    """Record who signed out; None: the session had ended before."""
    if user is not None:
        write(user, SIGN_OUT, "signed out", address=address_of(request))


@receiver(user_login_failed)
def record_failure(
    sender: object,
    credentials: dict[str, str],
    request: HttpRequest | None = None,
    **more: object,
) -> None:
    """Record which account was tried in vain, and from where."""
    record_refusal(str(credentials.get("username", "")), "", request)


def record_refusal(name: str, why: str, request: HttpRequest | None) -> None:
    """Record an account that was tried in vain, and why, where that is known."""
    write(
        name.replace("\0", "")[:MAX_NAME],
        SIGN_IN,
        f"could not sign in: {why}" if why else "could not sign in",
        outcome=Outcome.FAILED,
        address=address_of(request),
    )


@receiver(password_changed)
def record_change(
    sender: object, request: HttpRequest, user: AbstractBaseUser, **more: object
) -> None:
    """Record who changed the own password, which ended the user's other sessions."""
    write(user, PASSWORD, "changed the password", address=address_of(request))


@receiver(password_reset)
def record_reset(
    sender: object, request: HttpRequest, user: AbstractBaseUser, **more: object
) -> None:
    """Record who chose a new password with a link."""
    write(user, PASSWORD, "chose a new password by mail", address=address_of(request))
