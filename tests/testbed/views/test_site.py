"""Pages that belong to no testbed, and what holds for all pages.

Hosts, a page that is not there, a form that expired, the password; and no page holds
any code of its own.
"""

import gzip
import json

import pytest
from django.contrib.auth.models import User
from django.db.models import ProtectedError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from testbed.models import Host, ObservedGuest, Testbed
from testbed.views.problems import GoneMeanwhile, failed
from tests.testbed.conftest import MakeRun
from tests.testbed.reading import visible

PAGES = (
    "/",
    "/testbeds/new/",
    "/testbeds/olive/lab/",
    "/testbeds/olive/lab/edit/",
    "/testbeds/olive/lab/artefacts/",
)


def test_hosts_are_shown_to_everyone_and_edited_by_admins(
    client: Client, owner: User, admin: User, hosts: tuple[Host, Host]
):
    Host.objects.filter(name="host-b").update(
        problem="Host host-b did not answer.", checked_at=timezone.now()
    )

    pages = {}
    for user in (owner, admin):
        client.force_login(user)
        pages[user.username] = client.get("/hosts/").content.decode()

    assert "Host host-b did not answer." in pages["olive"]
    assert "Add a host" not in pages["olive"]
    assert "Add a host" in visible(pages["ada"])


def test_hosts_are_json_for_programs_with_their_addresses_for_admins(
    client: Client, owner: User, admin: User, testbed: Testbed
):
    looked_at = timezone.now()
    Host.objects.filter(name="host-b").update(
        load=1.5, free_memory_mib=8192, checked_at=looked_at, versions={"QEMU": "7.2"}
    )
    ObservedGuest.objects.create(
        testbed=testbed,
        name="web",
        host="host-b",
        status="running",
        observed_at=looked_at,
    )

    answers = {}
    for user in (owner, admin):
        client.force_login(user)
        found = client.get("/hosts/", headers={"Accept": "application/json"}).json()
        answers[user.username] = {host["name"]: host for host in found["hosts"]}

    theirs, full = answers["olive"]["host-b"], answers["ada"]["host-b"]
    assert list(answers["ada"]) == ["main", "host-b"]
    assert (theirs["state"], theirs["guests"], theirs["load"]) == ("online", 1, 1.5)
    assert (theirs["free_memory_mib"], theirs["versions"]) == (8192, {"QEMU": "7.2"})
    assert (theirs["drained"], theirs["disk_bytes"]) == (None, None)
    assert full == theirs | {"address": "192.0.2.2", "port": 22, "user": "root"}
    assert answers["olive"]["main"]["state"] == "unknown"


def test_host_that_does_not_answer_shows_its_size_and_no_old_load(
    client: Client, admin: User, hosts: tuple[Host, Host]
) -> None:
    Host.objects.filter(name="host-b").update(
        cpus=8,
        load=6.5,
        cpu_percent=81.0,
        memory_mib=16 * 1024,
        free_memory_mib=5 * 1024,
        disk_bytes=100 << 30,
        disk_free_bytes=40 << 30,
        problem="Host host-b did not answer.",
        checked_at=timezone.now(),
    )
    client.force_login(admin)

    page = visible(client.get("/hosts/host-b/").content.decode())
    found = client.get("/hosts/", headers={"Accept": "application/json"}).json()

    assert "16 GiB" in page
    assert "100.0 GiB" in page
    for old in ("6.5", "81 %", " 5 GiB", "40.0 GiB"):
        assert old not in page.replace("16 GiB", "")
    away = next(host for host in found["hosts"] if host["name"] == "host-b")
    assert (away["cpus"], away["memory_mib"]) == (8, 16 * 1024)
    measured = ("load", "cpu_percent", "free_memory_mib", "free_disk_bytes")
    assert {away[key] for key in measured} == {None}


def test_remark_about_a_host_that_is_online_is_shown(
    page: Client, hosts: tuple[Host, Host]
):
    Host.objects.filter(name="host-b").update(
        remark="On host-b tailscale0 is in the way.", checked_at=timezone.now()
    )

    text = page.get("/hosts/").content.decode()

    assert "On host-b tailscale0 is in the way." in text
    assert "offline" not in text


def test_missing_page_says_what_next(browser: Client):
    answer = browser.get("/nothing/")

    assert answer.status_code == 404
    assert "belongs to another user" in answer.content.decode()


JSON = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("get", "/nothing/", 404, "nothing at this address"),
        ("get", "/testbeds/ghost/", 404, "nothing at this address"),
        ("get", "/runs/999/log.txt", 404, "nothing at this address"),
        ("get", "/runs/999/cancel/", 405, "GET is not possible"),
        ("delete", "/hosts/", 405, "DELETE is not possible"),
    ],
)
def test_refusal_is_json_for_a_client_that_asks_for_it(
    browser: Client, method: str, path: str, status: int, words: str
):
    answer = getattr(browser, method)(path, headers=JSON)

    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert answer.json()["hint"]


@pytest.mark.parametrize("path", ["exec", "power"])
def test_refusal_is_json_for_a_client_that_sends_json(browser: Client, path: str):
    answer = browser.post(
        f"/testbeds/ghost/{path}/", {}, content_type="application/json"
    )

    assert answer.status_code == 404
    assert answer.json()["error"] == "There is nothing at this address."


def test_missing_token_is_json_for_a_client_that_asks_for_it(owner: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)

    answer = browser.post("/testbeds/olive/lab/runs/", {"command": "up"}, headers=JSON)

    assert answer.status_code == 403
    assert "no longer valid" in answer.json()["error"]


def test_failure_is_json_for_a_client_that_asks_for_it():
    answer = failed(RequestFactory().get("/", headers=JSON))

    assert answer.status_code == 500
    assert json.loads(answer.content)["error"] == "The server failed."


def test_page_of_a_failure_looks_as_the_others_do():
    found = failed(RequestFactory().get("/")).content.decode()

    assert "<main" in found
    assert "css/tokens.css" in found


def test_page_for_a_wrong_method_names_the_right_one(browser: Client):
    answer = browser.delete("/hosts/")

    assert (answer.status_code, answer["Allow"]) == (405, "GET")
    assert "Use GET." in answer.content.decode()


def test_hint_for_a_wrong_command_names_the_commands(browser: Client, testbed: Testbed):
    answer = browser.post("/testbeds/olive/lab/runs/", {"command": "fly"}, headers=JSON)

    assert answer.status_code == 400
    assert answer.json()["hint"] == (
        "Use one of generate-artefacts, clear-artefacts, up, down."
    )


def test_pages_hold_no_inline_code(browser: Client, generated: Testbed):
    pages = [browser.get(path) for path in PAGES]

    for page in pages:
        text = page.content.decode()
        assert " style=" not in text
        assert " onclick=" not in text
        assert "<script>" not in text
        assert "unsafe" not in page["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/testbeds/olive/lab/",
        "/testbeds/olive/lab/live/",
        "/testbeds/olive/lab/guests/",
        "/testbeds/olive/lab/edit/",
        "/testbeds/olive/lab/files/kvm-compose.yaml",
        "/testbeds/olive/lab/artefacts/",
        "/testbeds/olive/lab/artefacts/state.json",
        "/testbeds/olive/lab/artefacts.zip",
        "/runs/{run}/",
        "/runs/{run}/log/",
        "/runs/{run}/log.txt",
    ],
)
def test_browser_keeps_no_copy_of_what_may_be_secret(
    browser: Client, make_run: MakeRun, path: str
):
    answer = browser.get(path.format(run=make_run().pk))

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


def test_expired_form_says_what_to_do(owner: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)

    answer = browser.post("/testbeds/new/", {"slug": "lab"})

    assert answer.status_code == 403
    assert "load the page again" in answer.content.decode()


def test_password_is_changed(browser: Client, owner: User):
    words = {"password1": "quiet-river-81", "password2": "quiet-river-81"}

    wrong = browser.post("/password/", {"oldpassword": "no", **words})
    right = browser.post("/password/", {"oldpassword": "olive-pass", **words})

    assert wrong.status_code == 200
    assert right["Location"] == "/account/"
    owner.refresh_from_db()
    assert owner.check_password("quiet-river-81")


def test_page_is_compressed_for_a_browser_that_accepts_it(browser: Client) -> None:
    page = browser.get("/testbeds/new/", headers={"accept-encoding": "gzip, br"})

    assert page.headers["Content-Encoding"] == "gzip"


STYLES = "/static/css/blocks/table.css"


# A response that is closed looks for connections of the database to close.
@pytest.mark.django_db
def test_static_text_is_compressed_for_a_browser_that_accepts_it(client: Client):
    plain = client.get(STYLES)
    packed = client.get(STYLES, headers={"accept-encoding": "gzip, br"})

    text = b"".join(plain.streaming_content)
    plain.close()
    assert gzip.decompress(packed.content) == text
    assert len(packed.content) < len(text) / 2
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"]
    assert {a.headers["Vary"] for a in (plain, packed)} == {"Accept-Encoding"}
    assert "Content-Encoding" not in plain.headers


def test_static_text_that_is_there_already_is_not_sent_again(client: Client):
    first = client.get(STYLES, headers={"accept-encoding": "gzip"})

    again = client.get(
        STYLES,
        headers={
            "accept-encoding": "gzip",
            "if-modified-since": first.headers["Last-Modified"],
        },
    )

    assert again.status_code == 304


@pytest.mark.django_db
@pytest.mark.parametrize("extra", [{"range": "bytes=0-9"}, {}])
def test_part_of_a_static_file_and_its_head_stay_plain(
    client: Client, extra: dict[str, str]
):
    ask = client.get if extra else client.head

    found = ask(STYLES, headers={"accept-encoding": "gzip", **extra})

    found.close()
    assert found.status_code == (206 if extra else 200)
    assert "Content-Encoding" not in found.headers


def test_address_of_nothing_belongs_to_no_part_of_the_site(client: Client, owner: User):
    client.force_login(owner)

    page = client.get("/nothing/").content.decode()

    assert "There is nothing at this address." in page
    assert "aria-current" not in page


def test_page_says_in_which_zone_its_times_are(client: Client, owner: User):
    client.force_login(owner)

    assert "Times without a zone are in UTC." in client.get("/").content.decode()


def test_row_that_is_still_needed_is_not_taken_for_one_that_is_gone():
    error = ProtectedError("referenced through protected foreign keys", set())
    middleware = GoneMeanwhile(lambda _: HttpResponse())

    assert middleware.process_exception(RequestFactory().get("/"), error) is None
