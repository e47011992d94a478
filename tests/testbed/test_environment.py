"""Reading settings: secrets from files, database addresses, and bad values."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from testbed.environment import database, env_bool, env_generated, env_int, env_secret

DATA = Path("/data")


def test_variable_wins_over_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("SOME_KEY_FILE", str(tmp_path / "key"))

    assert env_secret("SOME_KEY") == "from the file"

    monkeypatch.setenv("SOME_KEY", "from the variable")
    assert env_secret("SOME_KEY") == "from the variable"


def test_missing_secret_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY_FILE", "/nowhere/key")

    with pytest.raises(ImproperlyConfigured, match="SOME_KEY_FILE=/nowhere/key"):
        env_secret("SOME_KEY", "default")


def test_generated_secret_is_kept_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret-key"

    first = env_generated("NOT_SET_ANYWHERE", kept_in=path)

    assert len(first) > 60
    assert env_generated("NOT_SET_ANYWHERE", kept_in=path) == first
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///db.sqlite3", "/data/db.sqlite3"),
        ("sqlite:///sub/db.sqlite3", "/data/sub/db.sqlite3"),
        ("sqlite:////srv/db.sqlite3", "/srv/db.sqlite3"),
    ],
)
def test_sqlite_path_is_below_the_data_folder_or_absolute(url: str, path: str) -> None:
    assert database(url, data_dir=DATA)["NAME"] == path


def test_postgresql_parts_are_unquoted() -> None:
    url = "postgresql://lab%40uni:p%40ss%2Fw%3Ard%25@db.example:5433/test%20bed"

    found = database(url, data_dir=DATA)

    wanted = {"USER": "lab@uni", "PASSWORD": "p@ss/w:rd%", "HOST": "db.example"}
    wanted |= {"PORT": "5433", "NAME": "test bed", "OPTIONS": {}}
    assert found.items() >= wanted.items()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql:///testbed", ""),
        ("postgresql://lab@%2Frun%2FPostgreSQL/testbed", "/run/PostgreSQL"),
        ("postgresql:///testbed?host=/run/postgresql", "/run/postgresql"),
        ("postgresql://lab@[2001:db8::7]:5432/testbed", "2001:db8::7"),
    ],
)
def test_postgresql_host_may_be_a_socket_folder_or_ipv6(url: str, host: str) -> None:
    found = database(url, data_dir=DATA)

    assert (found["HOST"], found["NAME"]) == (host, "testbed")


def test_postgresql_options_reach_libpq() -> None:
    found = database("postgresql://h/n?sslmode=require&port=5440", data_dir=DATA)

    assert found["OPTIONS"] == {"sslmode": "require"}
    assert found["PORT"] == "5440"


def test_unquoted_password_is_refused_without_being_shown() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        database("postgresql://lab:hush/hush@db:5432/testbed", data_dir=DATA)

    assert "%2F" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("url", ["mysql://h/n", "sqlite://", "", "db.sqlite3"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="TESTBED_DATABASE_URL"):
        database(url, data_dir=DATA)


@pytest.mark.parametrize(("word", "switch"), [("1", True), ("No", False), ("", True)])
def test_switches_have_few_words(
    monkeypatch: pytest.MonkeyPatch, word: str, switch: bool
) -> None:
    monkeypatch.setenv("SOME_SWITCH", word)

    assert env_bool("SOME_SWITCH", default=True) is switch


def test_bad_values_name_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VALUE", "perhaps")

    with pytest.raises(ImproperlyConfigured, match="SOME_VALUE='perhaps'"):
        env_bool("SOME_VALUE", default=True)
    with pytest.raises(ImproperlyConfigured, match="whole number"):
        env_int("SOME_VALUE", 3)
