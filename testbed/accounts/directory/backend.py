"""Sign-in with the passwords of an LDAP directory, by django-auth-ldap.

The library searches, escapes, binds and asks for groups. Its own way from an entry to
an account, by the name, is not used: `accounts.py` binds them by the entry's
id. The entry is searched before an account is looked at, also for accounts with a
password here, so that times tell nothing of which accounts there are.
"""

import logging
from typing import Any

import ldap
from django.conf import settings
from django.contrib.auth.models import User
from django.dispatch import receiver
from django.http import HttpRequest
from django_auth_ldap.backend import LDAPBackend, _LDAPUser, ldap_error
from django_auth_ldap.config import (
    GroupOfNamesType,
    GroupOfUniqueNamesType,
    LDAPGroupQuery,
    LDAPSearch,
    PosixGroupType,
)
from ldap.filter import escape_filter_chars

from testbed.accounts.admins import Memberships, memberships_of
from testbed.accounts.directory.accounts import (
    GUID,
    DirectoryAway,
    Entry,
    Standing,
    admit,
    has_password_here,
    read,
    written,
)
from testbed.accounts.directory.line import connect
from testbed.environment import Directory

logger = logging.getLogger(__name__)
NOBODY = "-"
GROUP_TYPES = {
    "member": GroupOfNamesType,
    "uniqueMember": GroupOfUniqueNamesType,
    "memberUid": PosixGroupType,
}


class _DirectoryUser(_LDAPUser):
    """One attempt, with a connection that ends in time."""

    _connection: Any = None

    def _get_connection(self) -> Any:
        """Return the connection of this attempt. Raises: ldap.LDAPError."""
        if self._connection is None:
            self._connection = connect(settings.DIRECTORY)
        return self._connection


class DirectoryBackend(LDAPBackend):
    """Signs users of the directory in; what it refuses with a reason, it raises."""

    @property
    def default_settings(self) -> dict[str, object]:
        """Return the library's settings, from this product's."""
        rule: Directory = settings.DIRECTORY
        name = rule.name_attribute
        narrowed = rule.filter.replace("%", "%%")
        return {
            "BIND_DN": rule.bind_dn,
            "BIND_PASSWORD": rule.bind_password,
            "USER_SEARCH": LDAPSearch(
                rule.base,
                ldap.SCOPE_SUBTREE,
                f"(&{narrowed}({name}=%(user)s))",
                self._attributes(),
            ),
            "GROUP_TYPE": GROUP_TYPES[rule.member_attribute](),
            # The library wants one; membership is compared in the group itself.
            "GROUP_SEARCH": LDAPSearch(rule.base, ldap.SCOPE_SUBTREE),
            "ALWAYS_UPDATE_USER": False,
        }

    @staticmethod
    def _attributes() -> list[str]:
        rule = settings.DIRECTORY
        return [
            *(rule.name_attribute, rule.mail_attribute, rule.given_attribute),
            *(rule.surname_attribute, rule.id_attribute),
        ]

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: object,
    ) -> User | None:
        """Return the user of a name and a password there; None: they do not match.

        An empty password would be a bind as nobody, which every server lets in.
        Raises: DirectoryAway, NotAdmitted.
        """
        name = written(username or "")
        if not settings.DIRECTORY.urls or not name or not password:
            return None
        one = _DirectoryUser(self, username=name, request=request)
        return self.authenticate_ldap_user(one, password)

    def authenticate_ldap_user(self, ldap_user: Any, password: str) -> User | None:
        """Return the user of an entry and a password, and close the connection."""
        try:
            if ldap_user.dn is None:
                return None
            entry = _entry(ldap_user)
            if entry is None or has_password_here(entry):
                return None
            user: User | None = super().authenticate_ldap_user(ldap_user, password)
            return user
        finally:
            _close(ldap_user)

    def get_or_build_user(self, username: str, ldap_user: Any) -> tuple[User, bool]:
        """Return the account of an entry whose password was right.

        Raises: NotAdmitted.
        """
        entry = _entry(ldap_user)
        if entry is None:
            raise AssertionError("The entry was read before.")
        return admit(entry, _standing(ldap_user)), False

    def standing(self, entry: str) -> Standing:
        """Return the standing of the user of an entry, by its id.

        Raises: DirectoryAway.
        """
        one = _DirectoryUser(self, username=NOBODY)
        rule: Directory = settings.DIRECTORY
        is_raw = rule.id_attribute.lower() == GUID
        term = _escaped(bytes.fromhex(entry)) if is_raw else escape_filter_chars(entry)
        # The library fills in the name alone.
        narrowed = f"(&{rule.filter}({rule.id_attribute}={term}))".replace("%", "%%")
        self.settings.USER_SEARCH = LDAPSearch(
            rule.base,
            ldap.SCOPE_SUBTREE,
            narrowed,
            self._attributes(),
        )
        try:
            return _standing(one) if one.dn is not None else Standing(False)
        except ldap.LDAPError as exc:
            raise _away() from exc
        finally:
            _close(one)

    def get_user(self, user_id: int) -> User | None:
        """Return the user of a session, unless the account is deactivated."""
        return User.objects.filter(pk=user_id, is_active=True).first()


@receiver(ldap_error)
def refuse(sender: object, exception: Exception, **more: object) -> None:
    """Say that the directory failed, not that the password was wrong.

    The library has logged why. Raises: DirectoryAway.
    """
    raise _away() from exception


def _away() -> DirectoryAway:
    return DirectoryAway(
        f"Signing in with {settings.DIRECTORY.name} does not work just now.",
        hint="Try again in a few minutes; if it stays so, ask a lab admin to read the "
        "server's log.",
    )


def _standing(ldap_user: Any) -> Standing:
    rule = settings.DIRECTORY
    return Standing(
        not rule.group or bool(_is_in(ldap_user, rule.group)),
        _is_in(ldap_user, rule.admin_group) if rule.admin_group else None,
        _memberships(ldap_user, rule),
    )


def _memberships(ldap_user: Any, rule: Directory) -> Memberships:
    """Return the groups here that the directory decides, without those of missing ones."""
    found = {their: _is_in(ldap_user, their) for their in {t for _, t in rule.groups}}
    unknown = {ours for ours, their in rule.groups if found[their] is None}
    decided = memberships_of(rule.groups, [t for t, is_in in found.items() if is_in])
    return tuple(one for one in decided if one[1] or one[0] not in unknown)


def _escaped(raw: bytes) -> str:
    return "".join(f"\\{one:02x}" for one in raw)


def _entry(ldap_user: Any) -> Entry | None:
    return read(ldap_user.attrs, ldap_user._username)


def _is_in(ldap_user: Any, group: str) -> bool | None:
    """Return whether a user is in a group; None: the directory does not have it.

    The library says no of one that is missing. Raises: ldap.LDAPError.
    """
    if LDAPGroupQuery(group).resolve(ldap_user):
        return True
    try:
        ldap_user.connection.search_s(group, ldap.SCOPE_BASE, attrlist=["1.1"])
    except ldap.NO_SUCH_OBJECT:
        logger.warning("The directory has no group %s.", group)
        return None
    return False


def _close(ldap_user: Any) -> None:
    """Close the connection, which the library leaves to the collector of garbage."""
    if ldap_user._connection is None:
        return
    try:
        ldap_user._connection.unbind_s()
    except ldap.LDAPError as exc:
        logger.debug("The connection to the directory broke: %s", exc)
    ldap_user._connection, ldap_user._connection_bound = None, False
