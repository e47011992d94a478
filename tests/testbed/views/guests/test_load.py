"""Charts on the pages of guests and hosts: their tables, and their samples as JSON."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from testbed.models import Host, Testbed
from testbed.samples.figures import GuestFigures, HostFigures
from testbed.samples.recording import fold_samples, record
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/guests/web/"
MIB = 1 << 20
NOTHING = "\N{EN DASH}"


@pytest.fixture
def sampled(generated: Testbed) -> Testbed:
    """A testbed whose guest `web` was sampled twice, and main with it."""
    main, now = Host.objects.get(name="main"), timezone.now()
    Host.objects.filter(name="main").update(
        cpus=2, load=9.8, memory_mib=1024, checked_at=now
    )
    for past, cpu, load in ((20, 10.0, 1.0), (10, 90.0, 9.8)):
        web = GuestFigures(cpu, 100.0 * MIB, 2048.0, 0.0, 5.0 * MIB, 1.0)
        db = GuestFigures(77.0)
        record(
            {generated.pk: {"db": db, "web": web}},
            {main.pk: HostFigures(50.0, load, 512.0 * MIB, 3.0 * MIB)},
            now - timedelta(seconds=past),
        )
    return generated


def test_page_has_the_charts_as_tables_without_javascript(
    browser: Client, sampled: Testbed
) -> None:
    page = visible(squeezed(browser.get(PAGE).content.decode()))

    assert "of its vCPU 90 % 10 % 50 % 90 %" in page
    assert "in use 100 MiB 100 MiB 100 MiB 100 MiB" in page
    assert "read 2 KiB/s" in page
    assert "received 5 MiB/s" in page
    assert "Nothing was observed" not in page


def test_page_of_a_guest_that_was_not_sampled_says_so(
    browser: Client, generated: Testbed
) -> None:
    page = visible(squeezed(browser.get(PAGE).content.decode()))

    assert f"of its vCPU {' '.join(4 * [NOTHING])}" in page
    assert "Nothing was observed in this time." in page


def test_poll_brings_the_place_of_the_charts_alone(
    browser: Client, sampled: Testbed
) -> None:
    with CaptureQueriesContext(connection) as queries:
        fragment = browser.get(PAGE, headers={"HX-Request": "true"}).content.decode()

    assert '<section id="load" hx-preserve></section>' in fragment
    assert not [q for q in queries if "testbed_sample" in q["sql"]]


def test_samples_are_json(browser: Client, sampled: Testbed) -> None:
    answer = browser.get(f"{PAGE}load/")

    load = answer.json()
    assert load["period"] == "hour"
    times = [datetime.fromisoformat(at) for at in load["times"]]
    begins_at, ends_at = map(
        datetime.fromisoformat, (load["begins_at"], load["ends_at"])
    )
    assert begins_at < times[0] < times[1] <= ends_at
    assert ends_at - begins_at == timedelta(hours=1)
    assert times[1].utcoffset() == timedelta(0)
    assert load["columns"]["cpu_percent"] == [10, 90]
    assert load["columns"]["received_bytes_per_s"] == [5 * MIB, 5 * MIB]
    assert set(load["columns"]) == set(load["table"]) == set(GuestFigures._fields)
    assert load["table"]["cpu_percent"]["mean"] == "50 %"
    assert answer["Cache-Control"] == "no-store, private"


def test_week_is_asked_for_by_its_name(browser: Client, sampled: Testbed) -> None:
    past = timezone.now() - timedelta(days=2)
    record({sampled.pk: {"web": GuestFigures(33.0)}}, {}, past)
    fold_samples()

    week = browser.get(f"{PAGE}load/?load=week").json()
    page = browser.get(f"{PAGE}?load=week").content.decode()
    other = browser.get(f"{PAGE}load/?load=year").json()

    assert week["columns"]["cpu_percent"][:2] == [33, None]
    assert f'data-load="{PAGE}load/?load=week"' in squeezed(page)
    assert other["period"] == "hour"


@pytest.mark.parametrize("where", ["nobody", "%00"])
def test_guest_that_is_not_there_has_no_samples(
    browser: Client, sampled: Testbed, where: str
) -> None:
    assert browser.get(f"/testbeds/olive/lab/guests/{where}/load/").status_code == 404


def test_stranger_gets_no_samples(
    client: Client, stranger: object, sampled: Testbed
) -> None:
    client.force_login(stranger)

    assert client.get(f"{PAGE}load/").status_code == 404


def test_page_of_a_host_has_its_charts_and_says_overload(
    browser: Client, sampled: Testbed
) -> None:
    text = browser.get("/hosts/main/").content.decode()
    page = visible(squeezed(text))

    assert "in one minute 9.80 1.00 5.40 9.80" in page
    assert "red above 2" in page
    assert "overloaded" in page
    assert "gauge--full" in text
    assert browser.get("/hosts/main/load/").json()["columns"]["load"] == [1, 9.8]
    assert browser.get("/hosts/nowhere/").status_code == 404


def test_overloaded_host_is_marked_in_the_table(
    browser: Client, sampled: Testbed
) -> None:
    table = browser.get("/hosts/").content.decode()

    assert table.count("gauge--full") == 1
    assert 'href="/hosts/main/"' in table


def test_page_of_a_host_names_guests_of_the_users_testbeds_only(
    client: Client, browser: Client, stranger: object, sampled: Testbed
) -> None:
    sampled.observed_guests.create(
        name="web",
        host="main",
        status="running",
        cpu_percent=90.0,
        observed_at=timezone.now(),
    )

    own = browser.get("/hosts/main/").content.decode()
    other = Client()
    other.force_login(stranger)
    strange = other.get("/hosts/main/").content.decode()

    assert f'href="{PAGE}"' in own
    assert "lab" not in visible(squeezed(strange)).split()
    assert "1 running" in visible(squeezed(strange))
