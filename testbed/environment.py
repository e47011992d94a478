"""Read settings from the environment, and fail loudly on a bad value.

Used by `settings.py` only. Every secret can also come from a file named by the
variable with `_FILE` behind it.
"""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def env_str(name: str, default: str = "") -> str:
    """Return a text value."""
    return os.environ.get(name, default)


def env_list(name: str, default: str = "") -> list[str]:
    """Return the words of a comma-separated value."""
    words = os.environ.get(name, default).split(",")
    return [word.strip() for word in words if word.strip()]


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


def env_int(name: str, default: int) -> int:
    """Return a whole number. Raises: ImproperlyConfigured when it is none."""
    value = os.environ.get(name, "")
    try:
        return int(value) if value else default
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name}={value!r}: use a whole number.") from exc


def env_secret(name: str, *, generated_in: Path) -> str:
    """Return a secret: the variable, its `_FILE`, or one made and kept on first start."""
    if value := os.environ.get(name):
        return value
    path = os.environ.get(f"{name}_FILE")
    if path:
        return Path(path).read_text().strip()
    if not generated_in.exists():
        generated_in.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(generated_in, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_urlsafe(64))
    return generated_in.read_text().strip()


def database(url: str, *, data_dir: Path) -> dict[str, object]:
    """Return Django's database settings for a URL.

    `sqlite:///path` (relative to the data folder) or
    `postgresql://user:password@host:port/name`. Raises: ImproperlyConfigured.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(data_dir / rest.lstrip("/")) if rest.count("/") <= 1 else rest,
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if scheme in {"postgresql", "postgres"}:
        login, _, place = rest.rpartition("@")
        user, _, password = login.partition(":")
        server, _, name = place.partition("/")
        host, _, port = server.partition(":")
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": user,
            "PASSWORD": password,
            "HOST": host,
            "PORT": port,
            "CONN_MAX_AGE": 60,
        }
    raise ImproperlyConfigured(
        f"TESTBED_DATABASE_URL={scheme}://…: use sqlite:///db.sqlite3 or "
        "postgresql://user:password@host:5432/name."
    )
