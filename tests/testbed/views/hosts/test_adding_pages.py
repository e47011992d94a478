"""The pages by which lab admins add a host: forms, rows, refusals; no host is asked."""

import pytest
from django.test import Client

from testbed.celery import CHECK_NEW_HOST, app
from testbed.models import Entry, Host, HostFinding, NewHost
from tests.testbed.hosts.test_contact import KEY, LINE

TYPED = {
    "name": "host-b",
    "address": "192.0.2.7",
    "port": "22",
    "user": "root",
    "identity_file": "/etc/testbed/host-key",
    "tunnel_address": "",
    "projects_dir": "/var/lib/testbed/projects",
    "images_dir": "/var/lib/testbed/images",
}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The messages to the workers."""
    found: list[object] = []

    def send(name: str, args: object = (), **options: object) -> None:
        found.append((name, args))

    monkeypatch.setattr(app, "send_task", send)
    return found


@pytest.fixture
def new(db: None) -> NewHost:
    return NewHost.objects.create(
        name="host-b", address="192.0.2.7", identity_file="/etc/key", begun_by="ada"
    )


def text(answer: object) -> str:
    return answer.content.decode()


def test_form_begins_a_host_and_asks_a_worker(
    page: Client, sent: list[object], django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = page.post("/new-hosts/", TYPED)

    new = NewHost.objects.get()
    assert answer.headers["Location"] == "/new-hosts/host-b/"
    assert (new.begun_by, new.status) == ("ada", "pending")
    assert sent == [(CHECK_NEW_HOST, (new.pk,))]
    assert not Host.objects.exists()
    assert (
        Entry.objects.filter(act="hosts").get().what == "began to add it at 192.0.2.7"
    )


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("address", "192.0.2.7; reboot", "IP address or a DNS name"),
        ("address", "$(id)", "IP address or a DNS name"),
        ("address", "-oProxyCommand=id", "IP address or a DNS name"),
        ("address", "root@192.0.2.7", "IP address or a DNS name"),
        ("address", "host\0b", "Null characters are not allowed"),
        ("address", "a" * 300, "at most 255 characters"),
        ("address", "", "This field is required"),
        ("address", "127.0.0.1", "main itself"),
        ("address", "::1", "main itself"),
        ("address", "LocalHost", "main itself"),
        ("user", "-oProxyCommand=id", "the name of an account"),
        ("user", "ro ot", "the name of an account"),
        ("user", "a" * 40, "at most 32 characters"),
        ("port", "0", "greater than or equal to 1"),
        ("port", "99999", "less than or equal to 65535"),
        ("port", "ssh", "Enter a whole number"),
        ("name", "../b", "Use letters, digits, hyphens"),
        ("identity_file", "host-key", "absolute path"),
        ("identity_file", '/etc/"key', "absolute path"),
        ("identity_file", "/etc/../root/key", "absolute path"),
        ("projects_dir", "/var\n/x", "absolute path"),
        ("tunnel_address", "eth0", "valid IPv4 or IPv6 address"),
    ],
)
def test_odd_input_is_refused_at_its_field(
    page: Client, field: str, value: str, words: str
) -> None:
    answer = page.post("/new-hosts/", TYPED | {field: value})

    assert answer.status_code == 422
    assert words in text(answer)
    assert 'value="192.0.2.7"' in text(answer) or field == "address"
    assert not NewHost.objects.exists()


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2001:db8::7", "b.lab.example"])
def test_addresses_and_names_are_taken(page: Client, address: str) -> None:
    assert page.post("/new-hosts/", TYPED | {"address": address}).status_code == 302


def test_place_of_another_host_is_refused(page: Client) -> None:
    Host.objects.create(name="main", is_main=True, address="192.0.2.1")
    Host.objects.create(name="host-a", address="192.0.2.7")

    taken = page.post("/new-hosts/", TYPED)
    main = page.post("/new-hosts/", TYPED | {"address": "192.0.2.1", "port": "2222"})
    name = page.post("/new-hosts/", TYPED | {"name": "HOST-A", "address": "192.0.2.8"})

    assert "host-a has this address and port." in text(taken)
    assert "main has this address and port." in text(main)
    assert "already a host with this name" in text(name)


def test_second_admin_is_told_that_it_is_being_added(
    page: Client, new: NewHost
) -> None:
    answer = page.post("/new-hosts/", TYPED)

    assert answer.status_code == 422
    assert "A host with this name is being added already." in text(answer)
    assert 'href="/new-hosts/host-b/"' in text(answer)


def test_main_is_offered_while_there_is_none(page: Client) -> None:
    assert 'name="is_main"' in text(page.get("/new-hosts/"))
    Host.objects.create(name="main", is_main=True)
    assert 'name="is_main"' not in text(page.get("/new-hosts/"))


def test_rows_show_what_is_lacking_and_the_command(page: Client, new: NewHost) -> None:
    HostFinding.objects.create(
        new_host=new,
        requirement="ovs",
        outcome="lacking",
        observed="<b>stopped</b>",
        command="systemctl start openvswitch-switch",
    )
    HostFinding.objects.create(
        new_host=new, requirement="kvm", outcome="lacking", observed="none"
    )

    found = text(page.get("/new-hosts/host-b/"))

    assert "&lt;b&gt;stopped&lt;/b&gt;" in found
    assert ">systemctl start openvswitch-switch</pre>" in found
    assert "As root on host-b:" in found
    assert 'data-copies="command-ovs"' in found
    assert "/new-hosts/host-b/add/" not in found
    assert found.count("not checked") > 10


def test_fragment_is_polled_and_has_no_frame(page: Client, new: NewHost) -> None:
    found = text(page.get("/new-hosts/host-b/", headers={"HX-Request": "true"}))

    assert found.lstrip().startswith("<div")
    assert 'data-poll="6"' in found


def test_seen_key_is_offered_and_pinned_by_its_fingerprint(
    page: Client, new: NewHost, sent: list[object]
) -> None:
    NewHost.objects.update(seen_key=LINE)
    HostFinding.objects.create(
        new_host=new, requirement="host_key", outcome="lacking", observed="compare it"
    )
    assert KEY.fingerprint in text(page.get("/new-hosts/host-b/"))

    wrong = page.post("/new-hosts/host-b/confirm/", {"fingerprint": "SHA256:other"})
    assert wrong.status_code == 422
    assert NewHost.objects.get().host_key == ""

    right = page.post("/new-hosts/host-b/confirm/", {"fingerprint": KEY.fingerprint})
    assert right.status_code == 302
    assert NewHost.objects.get().host_key == LINE
    assert KEY.fingerprint in Entry.objects.filter(act="hosts").get().what


@pytest.mark.parametrize("act", ["confirm", "discard"])
def test_act_that_cannot_be_recorded_is_not_done(
    page: Client,
    new: NewHost,
    sent: list[object],
    monkeypatch: pytest.MonkeyPatch,
    act: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    NewHost.objects.update(seen_key=LINE)
    monkeypatch.setattr(Entry, "save", fail)

    with pytest.raises(OSError, match="full"):
        page.post(f"/new-hosts/host-b/{act}/", {"fingerprint": KEY.fingerprint})

    assert NewHost.objects.get().host_key == ""


def test_check_again_names_its_row_and_a_second_click_is_told(
    page: Client, new: NewHost, sent: list[object]
) -> None:
    first = page.post("/new-hosts/host-b/check/", {"requirement": "ovs"})
    second = page.post("/new-hosts/host-b/check/", {"requirement": "\0"})

    assert (first.status_code, second.status_code) == (302, 409)
    assert NewHost.objects.get().wanted == "ovs"


def test_added_host_is_where_the_page_leads(page: Client, hosts: object) -> None:
    plain = page.get("/new-hosts/host-b/")
    polled = page.get("/new-hosts/host-b/", headers={"HX-Request": "true"})

    assert plain.headers["Location"] == "/hosts/host-b/"
    assert polled.headers["HX-Redirect"] == "/hosts/host-b/"


def test_discarded_host_is_gone_and_recorded(page: Client, new: NewHost) -> None:
    assert page.post("/new-hosts/host-b/discard/").status_code == 302

    assert not NewHost.objects.exists()
    assert Entry.objects.filter(act="hosts").get().what == "gave up adding it"


def test_pages_need_few_queries(
    page: Client, new: NewHost, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(15):
        page.get("/new-hosts/host-b/")
    with django_assert_max_num_queries(15):
        page.get("/new-hosts/")
