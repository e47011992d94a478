"""Second factors: limits their codes, requires one of lab admins, and records changes.

The factors themselves are rows of allauth.mfa. Its own limits and its list of used codes
are in Django's cache, which each process would have for itself here; ours are rows.
"""

from hashlib import sha256

from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.dispatch import receiver
from django.http import HttpRequest

from testbed.access.logins import TooManyLogins
from testbed.access.origin import address_of
from testbed.access.record import Outcome, write
from testbed.models import LoginCount
from testbed.models.record.entries import PASSWORD, SIGN_IN

CODES_PER_ACCOUNT = 10
TYPES = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
NAMES = {
    Authenticator.Type.TOTP: "an authenticator app",
    Authenticator.Type.WEBAUTHN: "a passkey",
    Authenticator.Type.RECOVERY_CODES: "recovery codes",
}


def count_code(user: AbstractBaseUser) -> None:
    """Count a code that is tried for an account. Raises: TooManyLogins.

    It is counted by account alone: only who knows the password gets here.
    """
    row = LoginCount.objects.add(f"codes of account {user}")
    if row.attempts > CODES_PER_ACCOUNT:
        raise TooManyLogins(row, "There were too many wrong codes.")


def forget_codes(user: AbstractBaseUser) -> None:
    """Forget the codes that were tried: one was right."""
    LoginCount.objects.filter(subject=f"codes of account {user}").delete()


def is_first_use(user: AbstractBaseUser, code: str) -> bool:
    """Return whether a right code is used for the first time.

    The note outlives the time in which a code of an app is right.
    """
    code = normalize_user_code(code)
    used = sha256(f"{settings.SECRET_KEY} {user.pk} {code}".encode()).hexdigest()
    return LoginCount.objects.add(f"used code {used}").attempts == 1


def lacks_second_factor(user: User | AnonymousUser) -> bool:
    """Return whether a user may do nothing before a second factor is set up.

    A user without a password here signs in at the lab's provider, which asks for its own.
    """
    if not settings.ADMINS_NEED_SECOND_FACTOR or not user.is_superuser:
        return False
    if not user.has_usable_password():
        return False
    return not Authenticator.objects.filter(user_id=user.pk, type__in=TYPES).exists()


def factors_of(user: User) -> dict[str, object]:
    """Return what the page of an account shows of its second factors.

    A user without a password or a factor here has those of the own provider.
    """
    found = list(Authenticator.objects.filter(user=user).order_by("pk"))
    app, codes = (
        next((row for row in found if row.type == kind), None)
        for kind in (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
    )
    return {
        "has_factors": bool(found) or user.has_usable_password(),
        "is_needed": lacks_second_factor(user),
        "app": app,
        "passkeys": [row for row in found if row.type == Authenticator.Type.WEBAUTHN],
        "codes": len(codes.wrap().get_unused_codes()) if codes else None,
    }


@receiver(authenticator_added)
def record_added(
    sender: object, user: User, authenticator: Authenticator, **more: object
) -> None:
    """Record a new factor."""
    write(user, PASSWORD, f"set up {_name(authenticator)}")


@receiver(authenticator_removed)
def record_removed(
    sender: object, user: User, authenticator: Authenticator, **more: object
) -> None:
    """Record that a factor was removed."""
    write(user, PASSWORD, f"removed {_name(authenticator)}")


@receiver(authenticator_reset)
def record_reset(
    sender: object, user: User, authenticator: Authenticator, **more: object
) -> None:
    """Record new recovery codes."""
    write(user, PASSWORD, f"made {_name(authenticator)} anew")


@receiver(authentication_failed)
def record_wrong_code(
    sender: object, request: HttpRequest, user: User, **more: object
) -> None:
    """Record a wrong code, which follows a right password."""
    address = address_of(request)
    write(user, SIGN_IN, "gave a wrong code", outcome=Outcome.FAILED, address=address)


def _name(authenticator: Authenticator) -> str:
    return NAMES[Authenticator.Type(authenticator.type)]
