"""Answers django-allauth's questions: limits, redirects and new accounts.

allauth's views are the only door for a password. Each password that they are given goes
through `AccountAdapter.authenticate`, which counts the attempt before anything is hashed.
allauth's own limits are off: they live in Django's cache, which each process would have
for itself here; ours are rows.
"""

from collections.abc import Mapping

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib.auth.models import AbstractBaseUser, User
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from orchestration.errors import TestbedError
from testbed.access.logins import Attempt, TooManyLogins, attempt_at, record_refusal
from testbed.access.origin import address_of
from testbed.accounts.directory.accounts import DirectoryRefused
from testbed.accounts.invitations import NotInvited, use
from testbed.models import Invitation
from testbed.views.accounts.refusals import not_invited, not_signed_in, too_many
from testbed.views.problems import wants_json

# A directory's names are the same in capitals and small letters, others are not.
NO_MATCH = (
    "This name and this password do not belong together. Check capitals and small "
    "letters."
)
# In the session: the invitation with whose link its visitor came.
INVITED = "invitation"


class AccountAdapter(DefaultAccountAdapter):
    """The product's answers to allauth."""

    error_messages: Mapping[str, str] = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": NO_MATCH,
        "enter_current_password": "This is not your current password.",  # nosec B105
        "incorrect_password": "This is not your password.",  # nosec B105
        "username_taken": "There is already an account of this name.",
    }

    def pre_authenticate(self, request: HttpRequest, **credentials: object) -> None:
        """Count the attempt. Raises: ImmediateHttpResponse, when there were too many."""
        try:
            self._attempt(request, credentials).count()
        except TooManyLogins as exc:
            raise ImmediateHttpResponse(too_many(request, exc)) from exc

    def authenticate(
        self, request: HttpRequest, **credentials: object
    ) -> AbstractBaseUser | None:
        """Return the user of a name and a password, and forget the attempt then.

        Raises: ImmediateHttpResponse, when the directory refused for a reason.
        """
        user: AbstractBaseUser | None
        try:
            user = super().authenticate(request, **credentials)
        except DirectoryRefused as exc:
            name = self._attempt(request, credentials).account
            record_refusal(name, exc.message, request)
            raise ImmediateHttpResponse(not_signed_in(request, exc)) from exc
        if user is not None:
            self._attempt(request, credentials).take_back()
        return user

    def is_safe_url(self, url: str) -> bool:
        """Return whether a sign-in may lead there: to this site, as it was asked."""
        return url_has_allowed_host_and_scheme(
            url,
            allowed_hosts={self.request.get_host()},
            require_https=self.request.is_secure(),
        )

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address of the client as the record has it."""
        return address_of(request)

    def is_ajax(self, request: HttpRequest) -> bool:
        """Answer with the page, but for what the script of passkeys asks."""
        match = request.resolver_match
        return bool(match and match.url_name == "mfa_login_webauthn") and (
            wants_json(request)
        )

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Lead back to the account."""
        return reverse("account")

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Say that the account is deactivated to who has its passkey or identity."""
        problem = TestbedError(
            "This account is deactivated.", hint="A lab admin can activate it again."
        )
        return not_signed_in(request, problem)

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return whether the visitor came with an invitation that may be used."""
        invited = request.session.get(INVITED, 0)
        return Invitation.objects.open().filter(pk=invited).exists()

    def save_user(
        self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True
    ) -> User:
        """Save the account that an invitation makes, whose address is that one's.

        Raises: ImmediateHttpResponse, when it was used meanwhile.
        """
        super().save_user(request, user, form, commit=False)
        try:
            use(request.session[INVITED], user)
        except NotInvited as exc:
            raise ImmediateHttpResponse(not_invited(request, exc)) from exc
        del request.session[INVITED]
        return user

    @staticmethod
    def _attempt(request: HttpRequest, credentials: Mapping[str, object]) -> Attempt:
        return attempt_at(str(credentials.get("username", "")), request)
