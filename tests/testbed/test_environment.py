"""Reading settings: secrets from files, database addresses, and bad values."""

import threading
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from orchestration.compose.pools import Pools
from testbed import settings as product
from testbed.environment import (
    Directory,
    OpenID,
    database,
    env_bool,
    env_choice,
    env_domains,
    env_expiry,
    env_factor,
    env_generated,
    env_groups,
    env_int,
    env_list,
    env_networks,
    env_pool,
    env_pools,
    env_redis,
    env_reservations,
    env_secret,
    env_str,
    env_zone,
    require_apart,
)

DATA = Path("/data")
CHECKOUT = Path(__file__).resolve().parents[2]


def test_variable_wins_over_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("SOME_KEY_FILE", str(tmp_path / "key"))

    assert env_secret("SOME_KEY") == "from the file"

    monkeypatch.setenv("SOME_KEY", "from the variable")
    assert env_secret("SOME_KEY") == "from the variable"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("10.0.0.0", "such as /8 to /20"),
        ("10.0.0.0/21", "from /8 to /20"),
        ("10.0.0.0/4", "range of IPv4"),
        ("16.0.0.0/4", "from /8 to /20"),
        ("10.64.1.0/10", "range of IPv4"),
        ("fd00::/10", "range of IPv4"),
        ("ten", "such as 10.64.0.0/10"),
    ],
)
def test_pool_that_cannot_be_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    monkeypatch.setenv("SOME_POOL", value)

    with pytest.raises(ImproperlyConfigured, match="SOME_POOL=") as caught:
        env_pool("SOME_POOL", Pools().nat)

    assert reason.removeprefix("such as /8 to ") in str(caught.value)


def test_pools_are_chosen_and_must_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NAT", "172.20.0.0/16")
    assert env_pools("SOME_NAT", "NOT_SET").nat == IPv4Network("172.20.0.0/16")

    monkeypatch.setenv("SOME_NAT", "100.64.0.0/12")
    with pytest.raises(ImproperlyConfigured, match=r"100\.64\.0\.0/12.*overlap"):
        env_pools("SOME_NAT", "NOT_SET")


def test_networks_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NETWORKS", "192.168.7.0/24, 10.1.2.3")
    monkeypatch.setenv("BAD_NETWORKS", "192.168.7.1/24")

    assert env_networks("SOME_NETWORKS") == (
        IPv4Network("192.168.7.0/24"),
        IPv4Network("10.1.2.3/32"),
    )
    assert env_networks("NOT_SET") == ()
    with pytest.raises(ImproperlyConfigured, match=r"BAD_NETWORKS.*such as"):
        env_networks("BAD_NETWORKS")


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


@pytest.mark.parametrize("url", ["postgresql://h", "postgres://h/", "postgresql:///"])
def test_postgresql_without_a_database_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"host:5432/name") as caught:
        database(url, data_dir=DATA)

    assert "TESTBED_DATABASE_URL" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "switch"),
    [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("No", False)],
)
def test_switches_have_few_words(
    monkeypatch: pytest.MonkeyPatch, word: str, switch: bool
) -> None:
    monkeypatch.setenv("SOME_SWITCH", word)

    assert env_bool("SOME_SWITCH", default=not switch) is switch


def test_unset_or_empty_variable_keeps_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_VALUE", "")

    for name in ("SOME_VALUE", "NOT_SET_ANYWHERE"):
        assert env_bool(name, default=True) is True
        assert env_int(name, 3) == 3
        assert env_secret(name, "default") == "default"
    assert env_str("NOT_SET_ANYWHERE", "default") == "default"
    assert env_list("NOT_SET_ANYWHERE", "a,b") == ["a", "b"]


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_LIST", " a.example , ,b.example,")

    assert env_list("SOME_LIST", "default") == ["a.example", "b.example"]


@pytest.mark.parametrize("value", ["perhaps", "2", "on"])
def test_bad_switch_names_its_variable_and_the_form(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOME_VALUE", value)

    with pytest.raises(ImproperlyConfigured) as caught:
        env_bool("SOME_VALUE", default=True)

    assert str(caught.value) == f"SOME_VALUE='{value}': use 1 or 0."


@pytest.mark.parametrize("value", ["perhaps", "1.5", "0", "-1", "1e3"])
def test_bad_number_names_its_variable_and_the_form(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOME_VALUE", value)

    with pytest.raises(ImproperlyConfigured) as caught:
        env_int("SOME_VALUE", 3)

    assert str(caught.value).startswith(f"SOME_VALUE='{value}': use a whole number")


def test_some_numbers_may_be_nought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VALUE", "0")

    assert env_int("SOME_VALUE", 3, minimum=0) == 0

    monkeypatch.setenv("SOME_VALUE", "-1")
    with pytest.raises(ImproperlyConfigured, match="from 0 on"):
        env_int("SOME_VALUE", 3, minimum=0)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00secret"])
def test_secret_file_without_a_secret_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    monkeypatch.setenv("SOME_KEY_FILE", str(path))

    with pytest.raises(ImproperlyConfigured) as caught:
        env_secret("SOME_KEY", "default")

    assert str(caught.value) == f"SOME_KEY_FILE={path}: put one line of text there."


def test_processes_that_start_at_once_agree_on_the_generated_secret(
    tmp_path: Path,
) -> None:
    path, crowd = tmp_path / "secret-key", 16
    together = threading.Barrier(crowd)
    found: list[str] = []

    def start() -> None:
        together.wait(30)
        found.append(env_generated("NOT_SET_ANYWHERE", kept_in=path))

    threads = [threading.Thread(target=start) for _ in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == crowd
    assert set(found) == {path.read_text()}
    assert list(tmp_path.iterdir()) == [path]


def test_choice_is_one_of_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env_choice("SOME_CHOICE", "one", "two") == "one"
    monkeypatch.setenv("SOME_CHOICE", "two")
    assert env_choice("SOME_CHOICE", "one", "two") == "two"
    monkeypatch.setenv("SOME_CHOICE", "three")
    with pytest.raises(ImproperlyConfigured, match="SOME_CHOICE='three': use one or"):
        env_choice("SOME_CHOICE", "one", "two")


def test_time_zone_is_one_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env_zone("SOME_ZONE", "UTC") == "UTC"
    for wrong in ("Mars/One", "../UTC", "Europe"):
        monkeypatch.setenv("SOME_ZONE", wrong)
        with pytest.raises(ImproperlyConfigured, match=r"SOME_ZONE=.*Europe/London"):
            env_zone("SOME_ZONE", "UTC")


def test_redis_is_a_url_and_no_message_repeats_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert env_redis("SOME_REDIS", "unix:///run/redis.sock").startswith("unix://")
    monkeypatch.setenv("SOME_REDIS", "hunter2@localhost")
    with pytest.raises(ImproperlyConfigured, match="SOME_REDIS: use redis://") as told:
        env_redis("SOME_REDIS", "")
    assert "hunter2" not in str(told.value)


def test_pages_of_errors_for_developers_are_off_and_no_script_switches_them_on():
    scripts = [path for path in (CHECKOUT / "script").rglob("*") if path.is_file()]
    switching = [p for p in scripts if b"TESTBED_DEBUG" in p.read_bytes()]

    assert scripts
    assert switching == []
    assert product.DEBUG is False


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "1e308", "four"])
def test_factor_that_cannot_be_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOME_FACTOR", value)

    with pytest.raises(ImproperlyConfigured, match=r"SOME_FACTOR=.*above 0"):
        env_factor("SOME_FACTOR", 4.0)


def test_factor_is_a_number_or_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_FACTOR", "1.5")

    assert (env_factor("SOME_FACTOR", 4.0), env_factor("OTHER", 4.0)) == (1.5, 4.0)


def test_ends_are_off_unless_the_lab_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    times = env_expiry("SOME_END")
    assert (times.usual, times.idle, times.is_on) == (timedelta(), timedelta(), False)

    monkeypatch.setenv("SOME_END_HOURS", "72")
    times = env_expiry("SOME_END")
    assert times.usual == timedelta(hours=72)
    assert times.warning == timedelta(hours=24)
    assert times.is_on


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SOME_END_HOURS", "721", "use at most SOME_END_LONGEST_HOURS, 720"),
        ("SOME_END_HOURS", "24", "SOME_END_WARNING_HOURS=24: use fewer hours"),
        ("SOME_END_LONGEST_HOURS", "20", "SOME_END_WARNING_HOURS=24: use fewer hours"),
        ("SOME_END_LONGEST_HOURS", "9" * 30, "use at most 87600"),
        ("SOME_END_LONGEST_HOURS", "0", "use a whole number from 1 on"),
        ("SOME_END_HOURS", "nan", "use a whole number"),
        ("TESTBED_IDLE_HOURS", "161", "TESTBED_IDLE_HOURS=161: use at most 160"),
    ],
)
def test_ends_that_cannot_be_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=words):
        env_expiry("SOME_END")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SOME_AHEAD_DAYS", "366", "SOME_AHEAD_DAYS=366: use at most 365"),
        ("SOME_AHEAD_DAYS", "-1", "use a whole number from 0 on"),
        ("SOME_LONGEST_HOURS", "0", "use a whole number from 1 on"),
        ("SOME_LONGEST_HOURS", "9" * 30, "use at most 8760"),
    ],
)
def test_bounds_of_reservations_that_cannot_be_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    assert env_reservations("SOME").ahead == timedelta(days=30)
    monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=words):
        env_reservations("SOME")


def test_domains_are_words_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D", "Uni.Example, cs.uni.example")

    assert env_domains("D") == ["uni.example", "cs.uni.example"]


@pytest.mark.parametrize("value", ["@uni.example", "example", "*.uni.example", "a b.c"])
def test_domain_that_cannot_be_stops_the_start(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D", value)

    with pytest.raises(ImproperlyConfigured, match="D="):
        env_domains("D")


def test_groups_have_semicolons_between_and_names_with_commas(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("X", "course = cn=course,dc=uni ; staff=cn=staff,dc=uni;")

    found = env_groups("X")

    assert found == (("course", "cn=course,dc=uni"), ("staff", "cn=staff,dc=uni"))


def test_group_is_decided_by_one_of_both():
    groups = (("course", "students"),)

    with pytest.raises(ImproperlyConfigured, match="both decide course"):
        require_apart(OpenID(groups=groups), Directory(groups=groups))
