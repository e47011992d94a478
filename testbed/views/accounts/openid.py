"""Answers allauth.socialaccount's questions: sign-in with OpenID Connect.

An identity is bound to its account by its issuer and that one's own id of the user
(`sub`), so that another provider of later has other users. Neither a name nor an address for mail leads to an account that exists: its
user binds them, signed in. Where groups of the provider are set, each sign-in with it
gives or takes the right of a lab admin, and groups here, as the claim says.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthError
from allauth.socialaccount.providers.openid_connect import views as openid_connect
from allauth.socialaccount.signals import social_account_added
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException, Session
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from orchestration.errors import TestbedError
from orchestration.tls import lenient
from testbed.access.record import write
from testbed.access.visibility import Request
from testbed.accounts.admins import (
    Memberships,
    memberships_of,
    set_admin,
    set_groups,
)
from testbed.accounts.confirmation import require_confirmation
from testbed.models.record.entries import INVITATIONS, PASSWORD
from testbed.views.accounts.refusals import not_signed_in

logger = logging.getLogger(__name__)
CONNECT = "connect"


class _Connections(HTTPAdapter):
    """Connections to a provider, whose authority may be the lab's own."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Give the connections the product's trust."""
        trust = lenient(create_urllib3_context())
        super().init_poolmanager(*args, **kwargs, ssl_context=trust)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Give those through a proxy the same."""
        trust = lenient(create_urllib3_context())
        return super().proxy_manager_for(*args, **kwargs, ssl_context=trust)


class OpenIDAdapter(DefaultSocialAccountAdapter):
    """The product's answers to allauth."""

    def get_requests_session(self) -> Session:
        """Return what asks the provider."""
        session: Session = super().get_requests_session()
        session.mount("https://", _Connections())
        return session

    def is_open_for_signup(
        self, request: HttpRequest, sociallogin: SocialLogin
    ) -> bool:
        """Return whether the provider's users get an account by signing in."""
        return bool(settings.OPENID.creates)

    def populate_user(
        self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]
    ) -> User:
        """Name a new account as accounts are written (NFKC).

        It is the one question of allauth's before it looks for the identity, which gets
        its issuer here. Raises: ImmediateHttpResponse.
        """
        sociallogin.account.uid = self._identity(request, sociallogin.account)
        name = User.normalize_username(data.get("username") or "")
        user: User = super().populate_user(
            request, sociallogin, data | {"username": name}
        )
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Apply what the provider says of a user; refuse one without an account."""
        if sociallogin.state.get("process") == CONNECT:
            return
        claims = claims_of(sociallogin.account)
        if sociallogin.is_existing:
            set_admin(sociallogin.user, _is_admin(claims), settings.OPENID.name)
            set_groups(sociallogin.user, _groups(claims), settings.OPENID.name)
            return
        if not settings.OPENID.creates:
            raise ImmediateHttpResponse(not_signed_in(request, _no_account()))
        # allauth would compare addresses with those of accounts, and tell of them.
        sociallogin.email_addresses = []
        user = sociallogin.user
        if not _is_proved(claims) or _is_taken(user.email):
            user.email = ""
        user.is_staff = user.is_superuser = bool(_is_admin(claims))

    def _identity(self, request: HttpRequest, account: SocialAccount) -> str:
        """Return what binds an identity. Raises: ImmediateHttpResponse."""
        issuer, sub = issuer_of(account), account.uid
        token = account.extra_data.get("id_token") or {}
        if not issuer or token.get("sub") != sub:
            logger.warning("the OpenID provider's token lacks an issuer, or its user.")
            self.on_authentication_error(request, account.provider)
        return sha256(f"{issuer} {sub}".encode()).hexdigest()

    def save_user(
        self, request: HttpRequest, sociallogin: SocialLogin, form: object = None
    ) -> User:
        """Save a new account."""
        user: User = super().save_user(request, sociallogin, form)
        write(user, INVITATIONS, f"got an account by {settings.OPENID.name}")
        claims = claims_of(sociallogin.account)
        set_groups(user, _groups(claims), settings.OPENID.name)
        return user

    def get_connect_redirect_url(
        self, request: HttpRequest, socialaccount: SocialAccount
    ) -> str:
        """Lead back to the account."""
        return reverse("account")

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: object,
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: object = None,
    ) -> None:
        """Say that it did not work. Raises: ImmediateHttpResponse."""
        problem = TestbedError(
            f"{settings.OPENID.name} did not sign you in.",
            hint="Try again; if it stays so, ask a lab admin to read the server's log.",
        )
        if exception is not None:  # its text is the provider's, for no stranger
            logger.warning("the OpenID provider's answer: %.500r", exception)
        if error == AuthError.CANCELLED:
            problem = TestbedError("You cancelled the sign-in.", hint="Try again.")
        raise ImmediateHttpResponse(not_signed_in(request, problem))


@never_cache
@require_POST
def enter(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Lead to the provider's page, by a page of ours.

    Browsers hold all redirects of a form to the pages' policy, and a provider may lead
    on to origins that it alone knows.
    """
    answer = _with_provider(lambda: openid_connect.login(request, provider_id), request)
    if not isinstance(answer, HttpResponseRedirect) or answer.url.startswith("/"):
        return answer
    context = {"openid": settings.OPENID, "url": answer.url}
    return render(request, "account/to_provider.html", context)


@require_GET
def come_back(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Take what the provider's page answers."""
    return _with_provider(
        lambda: openid_connect.callback(request, provider_id), request
    )


@login_required
@require_POST
def unbind(request: Request) -> HttpResponse:
    """Unbind an identity of the provider from the user's account."""
    number = request.POST.get("identity", "")
    rows = SocialAccount.objects.filter(user=request.user)
    is_number = number.isascii() and number.isdecimal() and len(number) <= 18
    row = rows.filter(pk=int(number) if is_number else 0).first()
    if row is None:
        raise Http404("There is no such identity.")
    if _is_last_way(request.user, row):
        messages.error(request, "Your account has no password: it would be lost.")
        return redirect("account")
    require_confirmation(request)
    row.delete()
    write(request.user, PASSWORD, f"unbound an identity of {settings.OPENID.name}")
    messages.success(request, "The identity was unbound.")
    return redirect("account")


@receiver(social_account_added)
def record_bound(
    sender: object, request: HttpRequest, sociallogin: SocialLogin, **more: object
) -> None:
    """Record that a user bound an identity."""
    write(sociallogin.user, PASSWORD, f"bound an identity of {settings.OPENID.name}")


def _with_provider(
    call: Callable[[], HttpResponse], request: HttpRequest
) -> HttpResponse:
    """Answer with what a view of allauth's does, which asks the provider first."""
    try:
        return call()
    except RequestException as exc:
        logger.warning("the OpenID provider does not answer: %s", exc)
        problem = TestbedError(
            f"{settings.OPENID.name} does not answer, so it cannot sign you in.",
            hint="Try again later, or sign in with a password.",
        )
        return not_signed_in(request, problem)


def issuer_of(account: SocialAccount) -> str:
    """Return the issuer of an identity; empty: it told none."""
    token = account.extra_data.get("id_token") or {}
    issuer = token.get("iss")
    return issuer if isinstance(issuer, str) else ""


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity of a user; one of another provider than today's signs in no more."""

    row: SocialAccount
    issuer: str
    signs_in: bool


def identities_of(user: User) -> list[Identity]:
    """Return a user's identities, oldest first."""
    found = []
    for row in SocialAccount.objects.filter(user=user).order_by("pk"):
        issuer = issuer_of(row)
        is_ours = bool(issuer) and issuer.rstrip("/") == settings.OPENID.url
        found.append(Identity(row, issuer, is_ours))
    return found


def claims_of(account: SocialAccount) -> dict[str, Any]:
    """Return what the provider says of a user: its page of the user goes first."""
    data = account.extra_data
    return {**(data.get("id_token") or {}), **(data.get("userinfo") or {})}


def _is_admin(claims: dict[str, Any]) -> bool | None:
    """Return whether the provider's user is a lab admin; None: it does not decide."""
    if not settings.OPENID.admin_group:
        return None
    return settings.OPENID.admin_group in _claimed(claims)


def _groups(claims: dict[str, Any]) -> Memberships:
    """Return which of the groups here the provider's user is in."""
    return memberships_of(settings.OPENID.groups, _claimed(claims))


def _claimed(claims: dict[str, Any]) -> list[str]:
    found = claims.get(settings.OPENID.admin_claim, [])
    groups = found if isinstance(found, list) else [found]
    return [one for one in groups if isinstance(one, str)]


def _is_last_way(user: User, row: SocialAccount) -> bool:
    """Return whether a user without a password here signs in with this one alone."""
    ways = [one.row.pk for one in identities_of(user) if one.signs_in]
    return ways == [row.pk] and not user.has_usable_password()


def _is_proved(claims: dict[str, Any]) -> bool:
    return claims.get("email_verified") in (True, "true")


def _is_taken(email: str) -> bool:
    return User.objects.filter(email__iexact=email).exists()


def _no_account() -> TestbedError:
    return TestbedError(
        f"There is no account for this identity of {settings.OPENID.name}.",
        hint="Ask a lab admin for an account; if you have one, sign in to it and bind "
        "the identity on the page of your account.",
    )
