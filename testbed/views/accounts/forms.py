"""allauth's forms in our words: labels, no placeholders, hints in the templates."""

from allauth.account import forms as allauth
from allauth.account.adapter import get_adapter
from allauth.core.exceptions import ImmediateHttpResponse
from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest

from testbed.access.logins import TooManyLogins, count_mail
from testbed.access.origin import address_of
from testbed.accounts.invitations import may_register
from testbed.celery import request_reset_mail
from testbed.views.accounts.refusals import too_many

NAME_FIELD = "username"  # as programs and older pages send it
AGAIN = "Password, again"
NEW_PASSWORD = {"password1": "New password", "password2": "New password, again"}


class SignInForm(allauth.LoginForm):
    """A name and a password."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        label(self, login="Username")
        attributes = {"autofocus": True, "autocapitalize": "none"}
        self.fields["login"].widget.attrs |= attributes

    def add_prefix(self, field_name: str) -> str:
        """Name the field of the account as Django does."""
        name = NAME_FIELD if field_name == "login" else field_name
        return str(super().add_prefix(name))

    def clean_login(self) -> str:
        """Write the name as accounts are written (NFKC)."""
        return str(User.normalize_username(self.cleaned_data["login"]))


class PasswordForm(allauth.ChangePasswordForm):
    """The password now and, twice, the next one."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        label(self, oldpassword="Current password", **NEW_PASSWORD)

    def clean_oldpassword(self) -> str:
        """Require the password now, which counts as an attempt to sign in."""
        word = str(self.cleaned_data["oldpassword"])
        if not get_adapter().reauthenticate(self.user, word):
            raise get_adapter().validation_error("enter_current_password")
        return word


class NewPasswordForm(allauth.ResetPasswordKeyForm):
    """The next password, twice, for who came with a link."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        label(self, **NEW_PASSWORD)


class ResetForm(allauth.ResetPasswordForm):
    """The address of the account whose password is lost."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        label(self, email="Mail address")

    def clean_email(self) -> str:
        """Return the address; a worker looks whether there is an account."""
        return str(self.cleaned_data["email"])

    def save(self, request: HttpRequest, **kwargs: object) -> str:
        """Request the mail. Raises: ImmediateHttpResponse, when there were too many."""
        email = str(self.cleaned_data["email"])
        try:
            count_mail(email, request)
        except TooManyLogins as exc:
            raise ImmediateHttpResponse(too_many(request, exc)) from exc
        request_reset_mail(email, address_of(request))
        return email


class ConfirmForm(allauth.ReauthenticateForm):
    """The password once more, before a change of the account."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        label(self, password="Password")  # noqa: S106  # nosec B106


class AccountForm(allauth.SignupForm):
    """The name and, twice, the password of a new account."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        label(self, username="Username", password1="Password", password2=AGAIN)
        self.fields["username"].widget.attrs |= {"autocapitalize": "none"}

    def clean_username(self) -> str:
        """Write the name as the sign-in does (NFKC): names that look alike are one."""
        name = User.normalize_username(self.cleaned_data["username"])
        self.cleaned_data["username"] = name
        return str(super().clean_username())


class RegistrationForm(forms.Form):
    """The address of a user who registers."""

    email = forms.EmailField(
        label="Mail address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )

    def clean_email(self) -> str:
        """Require an address of a domain that may register."""
        email = str(self.cleaned_data["email"])
        if not may_register(email):
            domains = " or ".join(sorted(settings.REGISTRATION_DOMAINS))
            raise forms.ValidationError(f"Use an address of {domains}.")
        return email


def label(form: forms.Form, **labels: str) -> None:
    """Name the fields; placeholders vanish, and help, which has links of allauth's."""
    for name, field in form.fields.items():
        field.label = labels.get(name, field.label)
        field.widget.attrs.pop("placeholder", None)
        field.help_text = ""
