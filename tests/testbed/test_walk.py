"""Every address with every persona and method: the whole of who gets what, as a table.

An address that the table does not know fails, as does a row without an address.
"""

from collections.abc import Iterator
from copy import deepcopy

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from orchestration.plan.execution import Execution, Form
from testbed.models import Allowance, Cleanup, Host, LoginCount, Run, Testbed
from tests.testbed.answer_rows import answer, end, execution
from tests.testbed.conftest import MakeRun

# Staff has no rights.
PERSONAS = ("anonymous", "stranger", "owner", "staff", "admin")
OTHERS = ("HEAD", "PUT", "PATCH", "DELETE", "TRACE")  # OPTIONS only names these

# Statuses of the five personas.
ANSWERS = {
    "impossible": "302 405 405 405 405",  # with this method
    "users": "302 200 200 200 200",
    "users-refused": "302 422 422 422 422",
    "owner": "302 404 200 404 200",
    "owner-on": "302 404 302 404 302",  # done, and on to another page
    "owner-busy": "302 404 409 404 409",
    "owner-bad": "302 404 400 404 400",
    "owner-refused": "302 404 422 404 422",
    "admin": "302 404 404 404 200",
    "admin-on": "302 404 404 404 302",
    "admin-bad": "302 404 404 404 422",
    "metrics": "401 404 404 404 200",
    "all": "200 200 200 200 200",
    "on": "302 302 302 302 302",
    "never": "405 405 405 405 405",
    "nothing": "302 404 404 404 404",
    # Pages of Django's admin: for staff, for those with rights, for nobody.
    "staff": "302 302 302 200 200",
    "rights": "302 302 302 403 200",
    "nobody": "302 302 302 403 403",
    "staff-app": "302 302 302 404 200",
    "staff-404": "302 302 302 404 404",
    "staff-405": "302 302 302 405 405",
}
# Route, then what GET and POST (of nothing) answer.
TABLE = """
/                                           users       impossible
testbeds/                                   on          on
testbeds/new/                               users       users
testbeds/new/name/                          users       impossible
testbeds/new/yaml/                          impossible  users
testbeds/<slug:slug>/                       owner       impossible
testbeds/<slug:slug>/live/                  owner       impossible
testbeds/<slug:slug>/guests/                owner       impossible
testbeds/<slug:slug>/guests/<str:name>/     owner       impossible
testbeds/<slug:slug>/guests/<str:name>/load/  owner       impossible
testbeds/<slug:slug>/guests/<str:name>/check/  owner-on  owner-busy
testbeds/<slug:slug>/delete/                owner-busy  owner-busy
testbeds/<slug:slug>/disks/delete/          owner       impossible
testbeds/<slug:slug>/edit/                  owner       owner-busy
testbeds/<slug:slug>/edit/<path:path>       owner       owner-busy
testbeds/<slug:slug>/check/                 impossible  owner
testbeds/<slug:slug>/files/                 impossible  owner-on
testbeds/<slug:slug>/files/new/             owner-on    impossible
testbeds/<slug:slug>/files/rename/          impossible  owner-on
testbeds/<slug:slug>/files/remove/          owner-on    owner-on
testbeds/<slug:slug>/files/<path:path>      owner       impossible
testbeds/<slug:slug>/artefacts/             owner       impossible
testbeds/<slug:slug>/artefacts.zip          owner       impossible
testbeds/<slug:slug>/artefacts/<path:name>  owner       impossible
testbeds/<slug:slug>/ssh.zip                owner       impossible
testbeds/<slug:slug>/exec/                  owner-on    owner-refused
testbeds/<slug:slug>/exec/match/            owner       impossible
testbeds/<slug:slug>/captures/              owner-on    owner-refused
testbeds/<slug:slug>/commands/              owner       owner-refused
testbeds/<slug:slug>/commands/delete/       impossible  nothing
testbeds/<slug:slug>/power/                 owner-on    owner-refused
testbeds/<slug:slug>/up/                    owner-on    owner-refused
testbeds/<slug:slug>/guests/<str:name>/console/         owner       impossible
testbeds/<slug:slug>/guests/<str:name>/console/ticket/  impossible  owner
testbeds/<slug:slug>/runs/                  owner       owner-bad
runs/<int:pk>/                              owner       impossible
runs/<int:pk>/stage/                        owner       impossible
runs/<int:pk>/waiting/                      owner       impossible
runs/<int:pk>/log/                          owner       impossible
runs/<int:pk>/log.txt                       owner       impossible
runs/<int:pk>/cancel/                       impossible  owner-on
runs/<int:pk>/answers/                      owner       impossible
runs/<int:pk>/answers.zip                   owner       impossible
runs/<int:pk>/answers/<str:guest>/          owner       impossible
runs/<int:pk>/difference/                   owner       impossible
runs/<int:pk>/fetched/                      owner       impossible
runs/<int:pk>/fetched/file/                 owner       impossible
runs/<int:pk>/fetched/archive/              owner       impossible
runs/<int:pk>/fetched/delete/               owner       owner-on
runs/<int:pk>/capture.pcap                  nothing     impossible
hosts/                                      users       impossible
hosts/<slug:name>/                          users       impossible
hosts/<slug:name>/load/                     users       impossible
orphans/                                    admin       impossible
orphans/delete/                             impossible  admin-bad
orphans/adopt/                              impossible  nothing
orphans/cleanups/<int:pk>/                  admin       impossible
images/                                     admin       impossible
images/look/                                impossible  admin-on
images/delete/                              admin-on    admin-bad
metrics                                     metrics     never
kvm-compose.json                            all         never
docs/yaml.md                                all         never
login/                                      all         all
logout/                                     never       on
password/                                   users       users
ssh-keys/                                   users       users-refused
ssh-keys/remove/                            impossible  nothing
admin/login/                                on          on
admin/                                      staff       staff
admin/logout/                               staff-405   on
admin/password_change/                      staff       staff
admin/password_change/done/                 staff       staff-405
admin/autocomplete/                         nobody      staff-405
admin/jsi18n/                               staff       staff-405
admin/r/<path:content_type_id>/<path:object_id>/  staff-404  staff-404
admin/^(?P<app_label>auth|testbed)/$        staff-app   staff-app
admin/(?P<url>.*)$                          staff-404   staff-404
admin/auth/user/<id>/password/              rights      rights
"""
# Parts of routes, and what an address has in their place.
PARTS = {
    "<slug:slug>": "lab",
    "<slug:name>": "main",
    "cleanups/<int:pk>/": "cleanups/{cleanup}/",
    "<int:pk>/answers": "{execution}/answers",
    "<int:pk>/difference": "{execution}/difference",
    "<int:pk>/fetched/file/": "{fetch}/fetched/file/?guest=web&path=log",
    "<int:pk>/fetched": "{fetch}/fetched",
    "<str:guest>": "web",
    "<str:name>": "web",
    "<int:pk>/stage/": "{run}/stage/?name={stage}",
    "<int:pk>": "{run}",
    "<path:path>": "kvm-compose.yaml",
    "<path:name>": "state.json",
    "<id>": "{user}",
    "<path:content_type_id>/<path:object_id>": "1/999999",
    "^(?P<app_label>auth|testbed)/$": "auth/",
    "(?P<url>.*)$": "nothing/",
}
# The rights of an admin to the rows of each model, beside reading them.
ADD, CHANGE, DELETE = "add", "change", "delete"
MODELS = {
    "auth/user": (ADD, CHANGE, DELETE),
    "auth/group": (ADD, CHANGE, DELETE),
    "testbed/host": (ADD, CHANGE, DELETE),
    "testbed/testbed": (CHANGE,),
    "testbed/run": (),
    "testbed/logincount": (DELETE,),
    "testbed/allowance": (ADD, CHANGE, DELETE),
}

Row = tuple[str, str, list[str], list[str]]


def row_of(route: str, get: str, post: str, address: str = "") -> Row:
    """Return a route, an address of it, and what GET and POST answer."""
    address = address or route
    for part, stand_in in PARTS.items():
        address = address.replace(part, stand_in)
    path = "/" + address.removeprefix("/")
    return route.removeprefix("/"), path, ANSWERS[get].split(), ANSWERS[post].split()


def rows() -> Iterator[Row]:
    """Yield the whole table, with the pages of each model in the admin."""
    for line in TABLE.strip().splitlines():
        yield row_of(*line.split())
    for model, may in MODELS.items():
        above, number = f"admin/{model}/", f"{{{model.split('/')[1]}}}"
        add, delete = ("rights" if do in may else "nobody" for do in (ADD, DELETE))
        change = "rights" if CHANGE in may else "nobody"
        for route, get, post in (
            ("", "rights", "rights"),
            ("add/", add, add),
            ("<path:object_id>/", "on", "on"),
            ("<path:object_id>/history/", "rights", "rights"),
            ("<path:object_id>/delete/", delete, delete),
            ("<path:object_id>/change/", "rights", change),
        ):
            address = above + route.replace("<path:object_id>", number)
            yield row_of(above + route, get, post, address)


def routes(patterns: list[URLPattern | URLResolver], above: str = "") -> Iterator[str]:
    """Yield each route of the resolver."""
    for pattern in patterns:
        route = f"{above}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


@pytest.fixture
def personas(owner: User, stranger: User, admin: User) -> dict[str, Client]:
    staff = User.objects.create_user("steve", password="steve-pass", is_staff=True)
    clients = {name: Client() for name in PERSONAS}
    users = {"stranger": stranger, "owner": owner, "staff": staff, "admin": admin}
    for name, user in users.items():
        clients[name].force_login(user)
    return clients


@pytest.fixture
def places(make_run: MakeRun, owner: User, admin: User) -> dict[str, object]:
    """The objects whose numbers go into the addresses."""
    run = make_run()
    executed = execution(run.testbed, owner, ("web",))
    answer(executed, "web", "Linux")
    fetch = execution(
        run.testbed, owner, ("web",), Execution(Form.FETCH, "@all", path="/log")
    )
    end(fetch)
    sent = run.testbed.project.fetched(fetch.pk) / "web"
    sent.mkdir(parents=True)
    (sent / "log").write_text("sent")
    things = [("main", "image", "old.qcow2")]
    found = {
        "run": run,
        "execution": executed,
        "fetch": fetch,
        "testbed": run.testbed,
        "host": Host.objects.first(),
        "user": owner,
        "group": Group.objects.create(name="lab"),
        "logincount": LoginCount.objects.add("address 192.0.2.1"),
        "allowance": Allowance.objects.create(user=owner),
        "cleanup": Cleanup.objects.begin("old", admin, things, subject="orphans"),
    }
    numbers = {name: row.pk for name, row in found.items()}
    return numbers | {"stage": run.instructions.first().stage}


def answered(client: Client, method: str, address: str) -> int:
    """Return the status; what the request changed in the database is undone."""
    cookies = deepcopy(client.cookies)
    with transaction.atomic():
        status = client.generic(method, address).status_code
        transaction.set_rollback(True)
    client.cookies = cookies
    assert status < 500, (method, address)
    return status


def test_table_knows_every_address():
    known = [route for route, *_ in rows()]

    assert sorted(known) == sorted({*routes(get_resolver().url_patterns)})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_persona_gets_what_the_table_says(
    personas: dict[str, Client], places: dict[str, object], method: str
):
    wrong = []
    for _, address, *answers in rows():
        expected = answers[method == "POST"]
        found = [
            str(answered(personas[name], method, address.format(**places)))
            for name in PERSONAS
        ]
        if found != expected:
            wrong.append(f"{method} {address}: {found}, not {expected}")

    assert wrong == []


@pytest.mark.parametrize("method", OTHERS)
def test_other_methods_get_nobody_further(
    personas: dict[str, Client], places: dict[str, object], method: str
):
    further = []
    for _, address, get, post in rows():
        for name, *allowed in zip(PERSONAS, get, post, strict=True):
            status = answered(personas[name], method, address.format(**places))
            if status < 300 and "200" not in allowed:
                further.append(f"{method} {address} by {name}: {status}")

    assert further == []


def test_form_without_its_token_changes_nothing(
    personas: dict[str, Client], places: dict[str, object]
):
    accepted = []
    for name in PERSONAS:
        personas[name].handler.enforce_csrf_checks = True
        for _, address, _, post in rows():
            status = answered(personas[name], "POST", address.format(**places))
            if status not in (403, 405) and name != "anonymous":
                accepted.append(f"{address} by {name}: {status}, else {post}")

    assert accepted == []
    assert (Run.objects.count(), Testbed.objects.count()) == (3, 1)
