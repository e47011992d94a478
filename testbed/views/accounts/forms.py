"""allauth's forms in our words: labels, no placeholders, hints in the templates."""

from allauth.account import forms as allauth
from django import forms
from django.contrib.auth.models import User

NAME_FIELD = "username"  # as programs and older pages send it
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


def label(form: forms.Form, **labels: str) -> None:
    """Name the fields; placeholders vanish, and help, which has links of allauth's."""
    for name, field in form.fields.items():
        field.label = labels.get(name, field.label)
        field.widget.attrs.pop("placeholder", None)
        field.help_text = ""
