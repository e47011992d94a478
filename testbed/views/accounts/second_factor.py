"""Answers allauth.mfa's questions, and holds the rule for lab admins."""

import base64
from collections.abc import Callable, Mapping
from hashlib import sha256

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base import forms as allauth
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import generate_totp_secret
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from cryptography.fernet import Fernet, InvalidToken
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from testbed.access.logins import TooManyLogins
from testbed.access.second_factor import (
    count_code,
    forget_codes,
    is_first_use,
    lacks_second_factor,
)
from testbed.views.accounts.forms import label
from testbed.views.accounts.refusals import too_many

Respond = Callable[[HttpRequest], HttpResponse]
NO_PASSKEY = "The browser did not use a passkey of this account."
WRONG = "This code is wrong, or was used. Wait for the next one."
# A lab admin without a second factor gets these pages, to set one up or to leave.
OPEN_TO_ALL = ("/account/", "/logout/", "/login/", "/static/")


class SecondFactorAdapter(DefaultMFAAdapter):
    """Encrypts what a copy of the database must not tell."""

    error_messages: Mapping[str, str] = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": WRONG,
    }

    def encrypt(self, text: str) -> str:
        """Return what the database holds of a secret."""
        return _box().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret, or one that nobody knows: the server's key was changed."""
        try:
            return _box().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            return str(generate_totp_secret())

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        """Return the name of a passkey whose user gives it none."""
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return f"Passkey {count + 1}"


class _Counted:
    """Counts a code before it is compared, and takes each code once."""

    user: User

    def clean_code(self) -> str:
        """Return a right code. Raises: ValidationError, ImmediateHttpResponse."""
        try:
            count_code(self.user)
        except TooManyLogins as exc:
            request = SecondFactorAdapter().request
            raise ImmediateHttpResponse(too_many(request, exc)) from exc
        code = str(super().clean_code())  # type: ignore[misc]  # of a form of allauth's
        # Also a recovery code: two requests may have read it before either used it up.
        if not is_first_use(self.user, code):
            raise ValidationError(WRONG)
        forget_codes(self.user)
        return code


class CodeForm(_Counted, allauth.AuthenticateForm):
    """A code after the password."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        _label(self)


class ConfirmForm(_Counted, allauth.ReauthenticateForm):
    """A code before a change of the account."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        _label(self)


class AppForm(ActivateTOTPForm):
    """The first code of an app that is set up."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        _label(self)


class _Parsed:
    """Refuses what is no answer of a passkey: the library fails at missing parts."""

    def clean_credential(self) -> Authenticator:
        """Return the passkey. Raises: ValidationError."""
        try:
            return super().clean_credential()  # type: ignore[misc]  # of allauth's
        except (KeyError, AttributeError, TypeError, ValueError) as exc:
            raise ValidationError(NO_PASSKEY) from exc


class PasskeySignInForm(_Parsed, LoginWebAuthnForm):
    """A passkey in place of name and password."""


class PasskeyAfterPasswordForm(_Parsed, AuthenticateWebAuthnForm):
    """A passkey after the password."""


class PasskeyConfirmForm(_Parsed, ReauthenticateWebAuthnForm):
    """A passkey before a change of the account."""


class PasskeyForm(AddWebAuthnForm):
    """The name of a passkey, and what the browser says of it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        label(
            self,
            name="Name",
            passwordless="It signs in without the password",
        )
        self.fields["name"].max_length = 60


def require_second_factor(respond: Respond) -> Respond:
    """Lead lab admins to their account while it lacks a second factor (middleware)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path.startswith(OPEN_TO_ALL) or not lacks_second_factor(
            request.user
        ):
            return respond(request)
        messages.error(request, "A lab admin needs a second factor here: set one up.")
        return redirect(reverse("account"))

    return middleware


def _label(form: forms.Form) -> None:
    label(form, code="Code")
    form.fields["code"].widget.attrs |= {"inputmode": "numeric", "autofocus": True}


def _box() -> Fernet:
    key = sha256(f"second factors {settings.SECRET_KEY}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
