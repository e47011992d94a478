"""Reads settings from the environment; a bad value stops start-up.

Used by `settings.py` only. Every secret can also come from a file named by the
variable with the suffix `_FILE`.
"""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured

from orchestration.compose.pools import SUBNET_PREFIX, Pools

LARGEST_POOL_PREFIX = 8
SHORTEST_TOKEN = 24
# Of a host's processors or memory: beyond that nothing is bounded, and sums overflow.
MOST_FACTOR = 1000.0
MOST_EXPIRY_H = 87_600  # ten years
MOST_IDLE_H = 160  # samples are kept for a week
MOST_AHEAD_DAYS = 365
OPENID_ID = "openid"  # in the address to which the provider sends users back
SYSTEM_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
LDAP_FIELDS = ("name", "mail", "given", "surname", "id")
LDAP_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
LDAP_MEMBERS = ("member", "uniqueMember", "memberUid")
MOST_LDAP_S = 30
MOST_GROUPS, MOST_GROUP = 50, 150
DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


class ExpiryTimes(NamedTuple):
    """After which time testbeds that are up end; nought: not by themselves.

    `longest` bounds every end, `warning` is between its announcement and the end, and
    `idle` the time without any use that ends a testbed earlier.
    """

    usual: timedelta
    longest: timedelta
    warning: timedelta
    idle: timedelta

    @property
    def is_on(self) -> bool:
        """Return whether testbeds end by themselves."""
        return bool(self.usual or self.idle)


class ReservationTimes(NamedTuple):
    """The bounds of users' own reservations; lab admins have none of these.

    `ahead` is until their begin, nought where users make none; `longest` from their
    begin to their end.
    """

    ahead: timedelta
    longest: timedelta


class Directory(NamedTuple):
    """An LDAP directory whose users sign in with their passwords there; or none.

    `filter` narrows the entries below `base`. `id_attribute` never changes and is never
    given to another user. Groups are distinguished names: without `group` each user of
    the directory may sign in, without `admin_group` it makes no lab admins. `groups` are
    pairs of a group here and one there that decides who is in it. Each of
    the servers is reached in `timeout_s` seconds; the rest of a sign-in takes `work_s`.
    """

    name: str = "the directory"
    urls: tuple[str, ...] = ()
    ca_file: str = ""
    is_plain: bool = False
    bind_dn: str = ""
    bind_password: str = ""
    base: str = ""
    filter: str = "(objectClass=*)"
    name_attribute: str = "uid"
    mail_attribute: str = "mail"
    given_attribute: str = "givenName"
    surname_attribute: str = "sn"
    id_attribute: str = "entryUUID"
    group: str = ""
    admin_group: str = ""
    groups: tuple[tuple[str, str], ...] = ()
    member_attribute: str = "member"
    timeout_s: int = 5

    @property
    def work_s(self) -> int:
        """Return the seconds for the rest of a sign-in, which asks for each group."""
        return self.timeout_s * (1 + len(self.groups) // 10)

    @property
    def starts_tls(self) -> bool:
        """Return whether connections begin without TLS and change to it."""
        return not self.is_plain and self.urls[0].startswith("ldap://")


class OpenID(NamedTuple):
    """An OpenID Connect provider; without a `url` there is none.

    `creates`: its users get accounts by signing in. With an `admin_group`, the claim
    `admin_claim` says at each sign-in whether the user is a lab admin, and whether in
    `groups`: pairs of a group here and one there.
    """

    name: str = "OpenID"
    url: str = ""
    client_id: str = ""
    secret: str = ""
    creates: bool = True
    admin_claim: str = "groups"
    admin_group: str = ""
    groups: tuple[tuple[str, str], ...] = ()

    @property
    def providers(self) -> dict[str, object]:
        """Return it as allauth wants its providers."""
        app = {
            "provider_id": OPENID_ID,
            "name": self.name,
            "client_id": self.client_id,
            "secret": self.secret,
            "settings": {"server_url": self.url, "oauth_pkce_enabled": True},
        }
        return {"openid_connect": {"APPS": [app] if self.url else []}}


def env_str(name: str, default: str = "") -> str:
    """Return a text value."""
    return os.environ.get(name, default)


def env_list(name: str, default: str = "") -> list[str]:
    """Return the words of a comma-separated value."""
    words = os.environ.get(name, default).split(",")
    return [word.strip() for word in words if word.strip()]


def env_domains(name: str) -> list[str]:
    """Return domains of mail addresses. Raises: ImproperlyConfigured."""
    domains = [domain.lower() for domain in env_list(name)]
    for domain in domains:
        if not DOMAIN.fullmatch(domain):
            raise ImproperlyConfigured(
                f"{name}={domain!r}: use domains of mail addresses, separated by commas, "
                "such as uni.example,cs.uni.example."
            )
    return domains


def env_bool(name: str, *, default: bool) -> bool:
    """Return a switch. Raises: ImproperlyConfigured unless 1/0/true/false/yes/no."""
    value = os.environ.get(name)
    if value is None or value == "":
        return default
    words = {"1": True, "true": True, "yes": True}
    words |= {"0": False, "false": False, "no": False}
    if value.lower() not in words:
        raise ImproperlyConfigured(f"{name}={value!r}: use 1 or 0.")
    return words[value.lower()]


def env_int(name: str, default: int, *, minimum: int = 1) -> int:
    """Return a count or a time. Raises: ImproperlyConfigured below `minimum`."""
    value = os.environ.get(name, "")
    try:
        number = int(value) if value else default
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name}={value!r}: use a whole number.") from exc
    if number < minimum:
        raise ImproperlyConfigured(
            f"{name}={value!r}: use a whole number from {minimum} on."
        )
    return number


def env_factor(name: str, default: float) -> float:
    """Return a number above 0, at most `MOST_FACTOR`. Raises: ImproperlyConfigured."""
    value = os.environ.get(name, "")
    try:
        number = float(value) if value else default
    except ValueError:
        number = 0.0
    if not 0 < number <= MOST_FACTOR:
        raise ImproperlyConfigured(
            f"{name}={value!r}: use a number above 0, at most {MOST_FACTOR:g}, such as "
            "1.5."
        )
    return number


def env_expiry(prefix: str) -> ExpiryTimes:
    """Return when testbeds end, from `<prefix>_HOURS` and its like.

    Raises: ImproperlyConfigured (out of range; the usual end is after the longest, or
    not after the warning).
    """
    names = (prefix, f"{prefix}_LONGEST", f"{prefix}_WARNING", "TESTBED_IDLE")
    defaults = ((0, 0), (720, 1), (24, 1), (0, 0))
    hours = [
        env_int(f"{name}_HOURS", default, minimum=minimum)
        for name, (default, minimum) in zip(names, defaults, strict=True)
    ]
    bounds = (MOST_EXPIRY_H, MOST_EXPIRY_H, MOST_EXPIRY_H, MOST_IDLE_H)
    for name, count, most in zip(names, hours, bounds, strict=True):
        if count > most:
            raise ImproperlyConfigured(f"{name}_HOURS={count}: use at most {most}.")
    usual, longest, warning, _ = hours
    if usual > longest:
        raise ImproperlyConfigured(
            f"{names[0]}_HOURS={usual}: use at most {names[1]}_HOURS, {longest}."
        )
    if 0 < usual <= warning or longest <= warning:
        raise ImproperlyConfigured(
            f"{names[2]}_HOURS={warning}: use fewer hours than {names[0]}_HOURS and "
            f"{names[1]}_HOURS."
        )
    return ExpiryTimes(*(timedelta(hours=count) for count in hours))


def env_reservations(prefix: str) -> ReservationTimes:
    """Return users' bounds, from `<prefix>_AHEAD_DAYS` and `<prefix>_LONGEST_HOURS`.

    Raises: ImproperlyConfigured.
    """
    days = env_int(f"{prefix}_AHEAD_DAYS", 30, minimum=0)
    hours = env_int(f"{prefix}_LONGEST_HOURS", 168)
    if days > MOST_AHEAD_DAYS:
        raise ImproperlyConfigured(
            f"{prefix}_AHEAD_DAYS={days}: use at most {MOST_AHEAD_DAYS}."
        )
    if hours > MOST_AHEAD_DAYS * 24:
        raise ImproperlyConfigured(
            f"{prefix}_LONGEST_HOURS={hours}: use at most {MOST_AHEAD_DAYS * 24}."
        )
    return ReservationTimes(timedelta(days=days), timedelta(hours=hours))


def env_openid(prefix: str) -> OpenID:
    """Return the provider of `<prefix>_URL` and its like. Raises: ImproperlyConfigured."""
    url = env_str(f"{prefix}_URL").rstrip("/")
    if not url:
        return OpenID()
    if urlsplit(url).scheme not in {"https", "http"} or not urlsplit(url).hostname:
        raise ImproperlyConfigured(
            f"{prefix}_URL={url!r}: use the provider's address, such as "
            "https://login.uni.example."
        )
    found = OpenID(
        name=env_str(f"{prefix}_NAME", "OpenID"),
        url=url,
        client_id=env_str(f"{prefix}_CLIENT_ID"),
        secret=env_secret(f"{prefix}_CLIENT_SECRET"),
        creates=env_bool(f"{prefix}_CREATE", default=True),
        admin_claim=env_str(f"{prefix}_ADMIN_CLAIM", "groups"),
        admin_group=env_str(f"{prefix}_ADMIN_GROUP"),
        groups=env_groups(f"{prefix}_GROUPS"),
    )
    if not found.client_id or not found.secret:
        raise ImproperlyConfigured(
            f"{prefix}_URL: set {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET as well, "
            "as the provider gave them."
        )
    return found


def env_groups(name: str) -> tuple[tuple[str, str], ...]:
    """Return pairs of a group here and one elsewhere. Raises: ImproperlyConfigured.

    They are separated by semicolons, as names in a directory have commas.
    """
    parts = [part.strip() for part in env_str(name).split(";") if part.strip()]
    pairs = [tuple(one.strip() for one in part.split("=", 1)) for part in parts]
    found = tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2 and all(pair))
    is_possible = all(len(ours) <= MOST_GROUP for ours, _ in found)
    if len(found) != len(parts) or not is_possible or len(found) > MOST_GROUPS:
        raise ImproperlyConfigured(
            f"{name}: use at most {MOST_GROUPS} pairs of a group here and one there, "
            "separated by semicolons, such as course=cn=course,ou=groups,dc=uni,dc=example."
        )
    return found


def require_apart(openid: OpenID, directory: Directory) -> None:
    """Require that one of both decides each group. Raises: ImproperlyConfigured."""
    ours = [{name for name, _ in one.groups} for one in (openid, directory)]
    if both := sorted(ours[0] & ours[1]):
        raise ImproperlyConfigured(
            f"TESTBED_OIDC_GROUPS and TESTBED_LDAP_GROUPS both decide {both[0]}: "
            "use another group here for one of them."
        )


def env_directory(prefix: str) -> Directory:
    """Return the directory of `<prefix>_URL` and its like. Raises: ImproperlyConfigured."""
    urls = tuple(env_list(f"{prefix}_URL"))
    if not urls:
        return Directory()
    is_plain = env_bool(f"{prefix}_PLAIN", default=False)
    _require_ldap_urls(prefix, urls, is_plain=is_plain)
    ca_file = env_str(f"{prefix}_CA_FILE", SYSTEM_CA_FILE)
    if not is_plain and not Path(ca_file).is_file():
        raise ImproperlyConfigured(
            f"{prefix}_CA_FILE={ca_file!r}: name the file with the certificate of the "
            "authority that signed the server's."
        )
    found = Directory(
        name=env_str(f"{prefix}_NAME") or Directory().name,
        urls=urls,
        ca_file=ca_file,
        is_plain=is_plain,
        bind_dn=env_str(f"{prefix}_BIND_DN"),
        bind_password=env_secret(f"{prefix}_BIND_PASSWORD"),
        base=env_str(f"{prefix}_BASE"),
        filter=env_str(f"{prefix}_FILTER") or Directory().filter,
        **_ldap_attributes(f"{prefix}_ATTRIBUTES"),
        group=env_str(f"{prefix}_GROUP"),
        admin_group=env_str(f"{prefix}_ADMIN_GROUP"),
        groups=env_groups(f"{prefix}_GROUPS"),
        member_attribute=env_choice(f"{prefix}_MEMBERS", *LDAP_MEMBERS),
        timeout_s=env_int(f"{prefix}_TIMEOUT_S", Directory().timeout_s),
    )
    if not found.base:
        raise ImproperlyConfigured(
            f"{prefix}_URL: set {prefix}_BASE as well, such as "
            "ou=people,dc=uni,dc=example."
        )
    if bool(found.bind_dn) != bool(found.bind_password):
        raise ImproperlyConfigured(
            f"{prefix}_BIND_DN and {prefix}_BIND_PASSWORD: set both or none."
        )
    if not (found.filter.startswith("(") and found.filter.endswith(")")):
        raise ImproperlyConfigured(
            f"{prefix}_FILTER={found.filter!r}: use a filter in parentheses, such as "
            "(objectClass=person)."
        )
    if found.timeout_s > MOST_LDAP_S:
        raise ImproperlyConfigured(
            f"{prefix}_TIMEOUT_S={found.timeout_s}: use at most {MOST_LDAP_S}."
        )
    return found


def _require_ldap_urls(prefix: str, urls: tuple[str, ...], *, is_plain: bool) -> None:
    if len({urlsplit(url).scheme for url in urls}) > 1 or not all(
        urlsplit(url).scheme in {"ldap", "ldaps"} and urlsplit(url).hostname
        for url in urls
    ):
        raise ImproperlyConfigured(
            f"{prefix}_URL={','.join(urls)!r}: use addresses of one kind, separated by "
            "commas, such as ldaps://ldap.uni.example, or ldap:// for StartTLS."
        )
    if is_plain and not all(
        url.startswith("ldap://") and urlsplit(url).hostname in LOOPBACK for url in urls
    ):
        raise ImproperlyConfigured(
            f"{prefix}_PLAIN=1: passwords go without TLS to ldap://127.0.0.1 alone."
        )


def _ldap_attributes(name: str) -> dict[str, str]:
    """Return attributes by fields of `Directory`, those that `name` maps."""
    found = {}
    for pair in env_list(name):
        ours, _, theirs = pair.partition("=")
        if ours not in LDAP_FIELDS or not LDAP_ATTRIBUTE.fullmatch(theirs):
            raise ImproperlyConfigured(
                f"{name}={os.environ.get(name)!r}: use pairs such as "
                "name=sAMAccountName,id=objectGUID; before the = may be "
                f"{', '.join(LDAP_FIELDS)}."
            )
        found[f"{ours}_attribute"] = theirs
    return found


def env_choice(name: str, *choices: str) -> str:
    """Return one of `choices`, the first when unset. Raises: ImproperlyConfigured."""
    value = os.environ.get(name) or choices[0]
    if value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r}: use {' or '.join(choices)}.")
    return value


def env_pool(name: str, default: IPv4Network) -> IPv4Network:
    """Return a range of IPv4 addresses. Raises: ImproperlyConfigured."""
    value = os.environ.get(name)
    if not value:
        return default
    try:
        pool = IPv4Network(value)
    except ValueError as exc:
        raise ImproperlyConfigured(
            f"{name}={value!r}: use a range of IPv4 addresses, such as {default}."
        ) from exc
    if not LARGEST_POOL_PREFIX <= pool.prefixlen <= SUBNET_PREFIX:
        raise ImproperlyConfigured(
            f"{name}={value!r}: use a prefix from /{LARGEST_POOL_PREFIX} to "
            f"/{SUBNET_PREFIX}; each testbed takes a /{SUBNET_PREFIX} of it."
        )
    return pool


def env_pools(nat: str, management: str) -> Pools:
    """Return the ranges of testbeds' subnets. Raises: ImproperlyConfigured."""
    default = Pools()
    pools = Pools(env_pool(nat, default.nat), env_pool(management, default.management))
    if pools.nat.overlaps(pools.management):
        raise ImproperlyConfigured(
            f"{nat} ({pools.nat}) and {management} ({pools.management}) overlap: use "
            "two ranges that have no address in common."
        )
    return pools


def env_networks(name: str) -> tuple[IPv4Network, ...]:
    """Return ranges of IPv4 addresses. Raises: ImproperlyConfigured."""
    try:
        return tuple(map(IPv4Network, env_list(name)))
    except ValueError as exc:
        raise ImproperlyConfigured(
            f"{name}={os.environ.get(name)!r}: use ranges of IPv4 addresses, separated "
            "by commas, such as 192.168.7.0/24,10.1.2.3/32."
        ) from exc


def env_zone(name: str, default: str) -> str:
    """Return the name of a time zone. Raises: ImproperlyConfigured."""
    value = os.environ.get(name) or default
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ImproperlyConfigured(
            f"{name}={value!r}: use the name of a time zone, such as Europe/London."
        ) from exc
    return value


def env_redis(name: str, default: str) -> str:
    """Return the URL of a Redis, a secret. Raises: ImproperlyConfigured."""
    value = env_secret(name, default)
    if not value.startswith(("redis://", "rediss://", "unix://")):
        # The value may hold a password.
        raise ImproperlyConfigured(
            f"{name}: use redis://:password@host:6379/0 or unix:///path/to/redis.sock."
        )
    return value


def env_secret(name: str, default: str = "") -> str:
    """Return a secret from the variable, or from the file that its `_FILE` names.

    Raises: ImproperlyConfigured when that file cannot be read or is empty.
    """
    if value := os.environ.get(name):
        return value
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return default
    try:
        secret = Path(path).read_text().strip()
    except OSError as exc:
        raise ImproperlyConfigured(f"{name}_FILE={path}: {exc.strerror}.") from exc
    except UnicodeDecodeError:  # its text shows a part of the secret
        secret = ""  # nosec B105
    if not secret:
        raise ImproperlyConfigured(f"{name}_FILE={path}: put one line of text there.")
    return secret


def env_token(name: str) -> str:
    """Return a secret that lets its bearer in; empty lets nobody in.

    Raises: ImproperlyConfigured when it could be guessed.
    """
    value = env_secret(name)
    if value and (len(value) < SHORTEST_TOKEN or not value.isascii()):
        raise ImproperlyConfigured(
            f"{name}: use at least {SHORTEST_TOKEN} characters of ASCII, such as "
            "`openssl rand -hex 32` prints."
        )
    return value


def env_generated(name: str, *, kept_in: Path) -> str:
    """Return a secret as `env_secret` does, or generate and keep one on first start.

    Several processes may start at once: all use the first one's secret, and none reads
    a partial one.
    """
    if value := env_secret(name):
        return value
    if not kept_in.exists():
        kept_in.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=kept_in.parent)  # only its owner may read
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_urlsafe(64))
        with suppress(FileExistsError):
            kept_in.hardlink_to(part)
        Path(part).unlink()
    return kept_in.read_text().strip()


def database(url: str, *, data_dir: Path) -> dict[str, object]:
    """Return Django's database settings for a URL.

    `sqlite:///path` is below the data folder, `sqlite:////path` is absolute.
    `postgresql://user:password@host:port/name?sslmode=require`: parts are URL-quoted,
    a folder as the host (`%2Frun%2Fpostgresql`, or none) is a unix socket, and the
    query holds libpq's options. Raises: ImproperlyConfigured.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and len(rest) > 1:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(data_dir / rest[1:]),
            # Opening costs 3 ms, and each frame and each Celery task opens one.
            "CONN_MAX_AGE": 60,
            "OPTIONS": {
                "timeout": 60,  # seconds: a disk may be slow for so long
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if scheme in {"postgresql", "postgres"}:
        return _postgresql(url)
    raise ImproperlyConfigured(
        f"TESTBED_DATABASE_URL={scheme}://…: use sqlite:///db.sqlite3 or "
        "postgresql://user:password@host:5432/name."
    )


def _postgresql(url: str) -> dict[str, object]:
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        # Neither the message nor its cause may repeat the URL: it holds the password.
        raise ImproperlyConfigured(
            "TESTBED_DATABASE_URL=postgresql://…: its parts cannot be told apart; "
            "write / : @ # ? and % of a password as %2F %3A %40 %23 %3F and %25."
        ) from None
    database_name = unquote(parts.path.lstrip("/"))
    if not database_name:
        raise ImproperlyConfigured(
            "TESTBED_DATABASE_URL=postgresql://…: it names no database; "
            "use postgresql://user:password@host:5432/name."
        )
    # urlsplit lower-cases the hostname; a socket's folder must keep its case.
    place = parts.netloc.rpartition("@")[2]
    host = (parts.hostname or "") if place[:1] == "[" else place.partition(":")[0]
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", unquote(host)),
        "PORT": options.pop("port", str(port or "")),
        "OPTIONS": options,
        # Kept connections stay open in the threads of ASGI requests: 60 page views
        # left 41 of them open.
        "CONN_MAX_AGE": 0,
    }
