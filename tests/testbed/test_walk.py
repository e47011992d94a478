"""Every address with every persona and method: the whole of who gets what, as a table.

An address that the table does not know fails, as does a row without an address.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from orchestration.plan.execution import Execution, Form
from testbed.access.permissions import LEAST, Act, Permissions
from testbed.access.permissions import TABLE as ROLE_TABLE
from testbed.access.roles import Role
from testbed.models import (
    Allowance,
    Cleanup,
    Delivery,
    GroupAllowance,
    Host,
    LoginCount,
    NewHost,
    Notification,
    Reservation,
    Run,
    SavedImage,
    SnapshotOrder,
    Source,
    Testbed,
)
from testbed.models.notifications.choices import Kind
from testbed.testbeds.files import delete_file
from tests.testbed.answer_rows import answer, end, execution
from tests.testbed.conftest import YAML, MakeRun, ShareWith
from tests.testbed.snapshots.rows import put, taken

# Staff has no rights. The others have a share each; two of them by a group.
PERSONAS = (
    "anonymous",
    "stranger",
    "viewer",
    "operator",
    "editor",
    "owner",
    "staff",
    "admin",
)
ROLES = {role.value: role for role in Role} | {"admin": Role.ADMIN}
# Those who may least and most: each of the others may no more than one of these.
ENDS = ("anonymous", "stranger", "owner", "admin")
OTHERS = ("HEAD", "PUT", "PATCH", "DELETE", "TRACE")  # OPTIONS only names these

# Statuses of those who are not signed in, of all users, of staff, of lab admins, and, where
# theirs is another one, of the owner.
ANSWERS = {
    "impossible": "302 405 405 405",  # with this method
    "users": "302 200 200 200",
    "users-refused": "302 422 422 422",
    "users-nothing": "302 404 404 404",
    "users-busy": "302 409 409 409",
    "own-group": "302 404 404 200",
    "own-group-bad": "302 404 404 422",
    "metrics": "401 404 404 200",
    "all": "200 200 200 200",
    "on": "302 302 302 302",
    "no-way": "404 404 404 404",  # to nobody, as this lab is set up
    "never": "405 405 405 405",
    "unsigned": "403 403 403 403",
    "own": "302 404 404 200 200",
    "own-goes": "302 404 404 404 302",
    "own-on": "302 404 404 302 302",
    "own-once": "302 404 404 422 302",  # the admin comes too late
    "own-delivery": "302 404 404 404 422",  # there is no webhook now
    # A question, to the one who has something to lose.
    "users-on": "302 302 302 302 200",
    # Pages of Django's admin: for staff, for those with rights, for nobody.
    "staff": "302 302 200 200",
    "rights": "302 302 403 200",
    "rights-confirm": "302 302 403 302",  # after the password once more
    "nobody": "302 302 403 403",
    "staff-app": "302 302 404 200",
    "staff-404": "302 302 404 404",
    "staff-405": "302 302 405 405",
}
# Route, then what GET and POST (of nothing) answer: a row of ANSWERS, or the status for
# those whose role allows the act. `permissions.TABLE` decides who these are. With `!` the
# stranger gets it as well, of an own testbed of the same name.
TABLE = """
/                                                               users              impossible
activity/                                                       users              impossible
ticked/                                                         on                 users-refused
first-steps/                                                    impossible         on
testbeds/                                                       on                 on
testbeds/new/                                                   users              users
testbeds/new/name/                                              users              impossible
testbeds/new/yaml/                                              impossible         users
testbeds/<testbed:address>/                                     200:see            impossible
testbeds/<testbed:address>/live/                                200:see            impossible
testbeds/<testbed:address>/budgets/                             200:see            impossible
testbeds/<testbed:address>/guests/                              200:see            impossible
testbeds/<testbed:address>/guests/<str:name>/                   200:see            impossible
testbeds/<testbed:address>/guests/<str:name>/load/              200:see            impossible
testbeds/<testbed:address>/guests/<str:name>/check/             302:see            409:check
testbeds/<testbed:address>/delete/                              409:delete         409:delete
testbeds/<testbed:address>/disks/delete/                        200:delete_disks   impossible
testbeds/<testbed:address>/labels/                              302:see            302:describe
testbeds/<testbed:address>/favourite/                           impossible         302:see
testbeds/<testbed:address>/sharing/                             200:share          422:share
testbeds/<testbed:address>/sharing/change/                      impossible         404:share
testbeds/<testbed:address>/owner/                               impossible         422:transfer
testbeds/<testbed:address>/charge/                              impossible         422:transfer
testbeds/<testbed:address>/expiry/                              302:see            422:extend
testbeds/<testbed:address>/protection/                          302:see            409:protect
testbeds/<testbed:address>/source/                              200:set_source     422:set_source
testbeds/<testbed:address>/source/change/                       impossible         422:set_source
testbeds/<testbed:address>/source/secret/                       impossible         200:set_source
testbeds/<testbed:address>/source/fetch/                        impossible         302:edit
testbeds/<testbed:address>/source/fetches/<int:pk>/             200:edit           impossible
testbeds/<testbed:address>/source/fetches/<int:pk>/settle/      impossible         422:edit
hooks/<slug:token>/                                             never              unsigned
testbeds/<testbed:address>/edit/                                200:edit           409:edit
testbeds/<testbed:address>/edit/<path:path>                     200:edit           409:edit
testbeds/<testbed:address>/check/                               impossible         200:edit
testbeds/<testbed:address>/files/                               impossible         302:edit
testbeds/<testbed:address>/files/new/                           302:edit           impossible
testbeds/<testbed:address>/files/rename/                        impossible         302:edit
testbeds/<testbed:address>/files/remove/                        302:edit           302:edit
testbeds/<testbed:address>/files/<path:path>                    200:see            impossible
testbeds/<testbed:address>/artefacts/                           200:artefacts      impossible
testbeds/<testbed:address>/artefacts.zip                        200:artefacts      impossible
testbeds/<testbed:address>/artefacts/<path:name>                200:artefacts      impossible
testbeds/<testbed:address>/ssh.zip                              200:ssh            impossible
testbeds/<testbed:address>/exec/                                302:see            422:execute
testbeds/<testbed:address>/exec/match/                          200:execute        impossible
testbeds/<testbed:address>/captures/                            302:see            422:execute
testbeds/<testbed:address>/commands/                            200:execute        422:save_command
testbeds/<testbed:address>/commands/delete/                     impossible         404:save_command
testbeds/<testbed:address>/power/                               302:see            422:power
testbeds/<testbed:address>/up/                                  302:see            422:up_guests
testbeds/<testbed:address>/snapshots/                           200:see            422:snapshot
testbeds/<testbed:address>/snapshots/schedules/                 impossible         422:schedule_snapshots
testbeds/<testbed:address>/copy/                                200:copy           422:copy
testbeds/<testbed:address>/images/                              200:save_image     409:save_image
testbeds/<testbed:address>/guests/<str:name>/console/           200:watch_console  impossible
testbeds/<testbed:address>/guests/<str:name>/console/ticket/    impossible         200:watch_console
testbeds/<testbed:address>/runs/                                200:see            400:up
runs/<int:pk>/                                                  200:see            impossible
runs/<int:pk>/stage/                                            200:see            impossible
runs/<int:pk>/waiting/                                          200:see            impossible
runs/<int:pk>/log/                                              200:see            impossible
runs/<int:pk>/log.txt                                           200:see            impossible
runs/<int:pk>/cancel/                                           impossible         302:cancel
runs/<int:pk>/answers/                                          200:see            impossible
runs/<int:pk>/answers.zip                                       200:see            impossible
runs/<int:pk>/answers/<str:guest>/                              200:see            impossible
runs/<int:pk>/difference/                                       200:see            impossible
runs/<int:pk>/fetched/                                          200:take_fetched   impossible
runs/<int:pk>/fetched/file/                                     200:take_fetched   impossible
runs/<int:pk>/fetched/archive/                                  200:take_fetched   impossible
runs/<int:pk>/fetched/delete/                                   200:take_fetched   200:take_fetched
runs/<int:pk>/capture.pcap                                      404:take_packets   impossible
testbeds/<testbed:address>/record/                              200:read_record    impossible
testbeds/<testbed:address>/name/                                302:see            422:rename
testbeds/<str:word>/                                            200:see!           405:see!
testbeds/<str:word>/<part:rest>                                 200:artefacts!     405:see!
record/                                                         200:administer     impossible
record/download/                                                200:administer     impossible
catalogue/                                                      users              impossible
catalogue/<int:pk>/delete/                                      own                own
catalogue/<int:pk>/share/                                       impossible         302:administer
trash/                                                          users              impossible
trash/empty/                                                    users              users-on
trash/<int:pk>/restore/                                         impossible         own-once
trash/<int:pk>/delete/                                          own                own
hosts/                                                          users              impossible
hosts/<slug:name>/                                              users              impossible
hosts/<slug:name>/load/                                         users              impossible
hosts/<slug:name>/edit/                                         200:administer     422:administer
hosts/<slug:name>/remove/                                       200:administer     422:administer
hosts/<slug:name>/drain/                                        impossible         302:administer
new-hosts/                                                      200:administer     422:administer
new-hosts/<slug:name>/                                          200:administer     impossible
new-hosts/<slug:name>/check/                                    impossible         302:administer
new-hosts/<slug:name>/confirm/                                  impossible         422:administer
new-hosts/<slug:name>/add/                                      impossible         302:administer
new-hosts/<slug:name>/discard/                                  impossible         302:administer
reservations/                                                   users              impossible
reservations/new/                                               users              users-refused
reservations/<int:pk>/                                          own                impossible
reservations/<int:pk>/change/                                   own                own-on
reservations/<int:pk>/cancel/                                   own                own-on
orphans/                                                        200:administer     impossible
orphans/delete/                                                 impossible         422:administer
orphans/adopt/                                                  impossible         404:administer
orphans/cleanups/<int:pk>/                                      200:administer     impossible
images/                                                         200:administer     impossible
images/look/                                                    impossible         302:administer
images/delete/                                                  302:administer     422:administer
snapshots/act/                                                  422:administer     422:administer
snapshots/refresh/                                              impossible         302:administer
metrics                                                         metrics            never
api/                                                            all                never
kvm-compose.json                                                all                never
docs/yaml.md                                                    all                never
login/                                                          all                all
logout/                                                         never              on
password/                                                       users              users
password/none/                                                  users-busy         impossible
password/reset/                                                 no-way             no-way
password/reset/done/                                            all                never
password/reset/key/done/                                        all                never
password/reset/key/<slug:uidb36>/<str:key>/                     all                all
signup/                                                         all                all
register/                                                       no-way             no-way
invitations/                                                    200:administer     422:administer
invitations/withdraw/                                           impossible         404:administer
invitations/<str:token>/                                        no-way             never
account/                                                        users              impossible
login/second-factor/                                            on                 on
login/openid/                                                   never              no-way
login/openid/callback/                                          no-way             never
account/identity/unbind/                                        impossible         users-nothing
login/passkey/                                                  on                 on
account/confirm/                                                users              users
account/confirm/code/                                           on                 on
account/confirm/passkey/                                        on                 on
account/second-factor/                                          on                 on
account/app/                                                    on                 on
account/app/remove/                                             users-nothing      users-nothing
account/codes/                                                  users-nothing      impossible
account/codes/new/                                              on                 on
account/passkeys/                                               on                 on
account/passkeys/new/                                           on                 on
account/passkeys/<int:pk>/remove/                               on                 on
account/sessions/end/                                           impossible         users-nothing
account/sessions/end-others/                                    impossible         on
quotas/                                                         200:administer     impossible
groups/                                                         users              422:administer
groups/<int:pk>/                                                own-group          own-group-bad
ssh-keys/                                                       users              users-refused
notifications/                                                  users              impossible
notifications/<int:pk>/                                         own-goes           impossible
notifications/read/                                             impossible         on
notifications/bell/                                             users              impossible
notifications/new/                                              users              impossible
notifications/settings/                                         users              on
notifications/webhook/                                          impossible         users-refused
notifications/deliveries/                                       users              impossible
notifications/deliveries/<int:pk>/                              impossible         own-delivery
ssh-keys/remove/                                                impossible         users-nothing
tokens/                                                         users              on
tokens/revoke/                                                  impossible         users-nothing
admin/login/                                                    on                 on
admin/                                                          staff              staff
admin/logout/                                                   staff-405          on
admin/password_change/                                          on                 on
admin/password_change/done/                                     staff              staff-405
admin/autocomplete/                                             nobody             staff-405
admin/jsi18n/                                                   staff              staff-405
admin/r/<path:content_type_id>/<path:object_id>/                staff-404          staff-404
admin/^(?P<app_label>testbed|auth)/$                            staff-app          staff-app
admin/(?P<url>.*)$                                              staff-404          staff-404
admin/auth/user/<id>/password/                                  rights-confirm     rights-confirm
"""
# Parts of routes, and what an address has in their place.
PARTS = {
    "<testbed:address>": "olive/lab",
    "<slug:uidb36>/<str:key>": "1/abc-def",
    "<str:token>": "no-token",
    "<slug:token>": "no-token",
    "<str:word>": "lab",
    "<part:rest>": "artefacts/",
    "new-hosts/<slug:name>": "new-hosts/host-c",
    "<slug:name>": "main",
    "cleanups/<int:pk>/": "cleanups/{cleanup}/",
    "catalogue/<int:pk>/": "catalogue/{image}/",
    "reservations/<int:pk>/": "reservations/{reservation}/",
    "groups/<int:pk>/": "groups/{group}/",
    "notifications/<int:pk>/": "notifications/{told}/",
    "deliveries/<int:pk>/": "deliveries/{delivery}/",
    "trash/<int:pk>/": "trash/{trash}/",
    "fetches/<int:pk>/": "fetches/{fetched}/",
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
    "^(?P<app_label>testbed|auth)/$": "auth/",
    "(?P<url>.*)$": "nothing/",
}
# The rights of an admin to the rows of each model, beside reading them.
ADD, CHANGE, DELETE = "add", "change", "delete"
MODELS = {
    "auth/user": (ADD, CHANGE, DELETE),
    "auth/group": (ADD, CHANGE, DELETE),
    "testbed/host": (),
    "testbed/testbed": (),
    "testbed/run": (),
    "testbed/labsnapshot": (),
    "testbed/snapshotorder": (DELETE,),
    "testbed/logincount": (DELETE,),
    "testbed/allowance": (ADD, CHANGE, DELETE),
    "testbed/groupallowance": (ADD, CHANGE, DELETE),
}

Row = tuple[str, str, list[str], list[str]]


def row_of(route: str, get: str, post: str, address: str = "") -> Row:
    """Return a route, an address of it, and what GET and POST answer."""
    address = address or route
    for part, stand_in in PARTS.items():
        address = address.replace(part, stand_in)
    path = "/" + address.removeprefix("/")
    return route.removeprefix("/"), path, statuses(get), statuses(post)


def statuses(cell: str) -> list[str]:
    """Return what each persona gets by a cell of the table."""
    status, _, name = cell.partition(":")
    if name:
        act = Act[name.rstrip("!").upper()]
        found = {persona: by_role(persona, act, status) for persona in PERSONAS}
        found |= {"stranger": status} if name.endswith("!") else {}
        return [*found.values()]
    anonymous, user, staff, admin, *owner = ANSWERS[cell].split()
    found = {"anonymous": anonymous, "staff": staff, "admin": admin}
    found |= {"owner": owner[0]} if owner else {}
    return [found.get(persona, user) for persona in PERSONAS]


def by_role(persona: str, act: Act, status: str) -> str:
    """Return what a persona gets where an act decides."""
    role = ROLES.get(persona)
    if persona == "anonymous":
        return "302"
    if role and Permissions(role).allows(act):
        return status
    # The lab's own pages are no secret, as a testbed's are.
    return "403" if role or act is Act.ADMINISTER else "404"


def rows() -> Iterator[Row]:
    """Yield the whole table, with the pages of each model in the admin."""
    for line in TABLE.strip().splitlines():
        yield row_of(*line.split())
    for model, may in MODELS.items():
        above, number = f"admin/{model}/", f"{{{model.split('/')[1]}}}"
        held = "rights-confirm" if model == "auth/user" else "rights"
        add = held if ADD in may else "nobody"
        change = held if CHANGE in may else "nobody"
        delete = "rights" if DELETE in may else "nobody"
        for route, get, post in (
            ("", "rights", "rights"),
            ("add/", add, add),
            ("<path:object_id>/", "on", "on"),
            ("<path:object_id>/history/", "rights", "rights"),
            ("<path:object_id>/delete/", delete, delete),
            ("<path:object_id>/change/", held, change),
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
def namesake(stranger: User, testbed: Testbed) -> Testbed:
    """The stranger's testbed, of the same name as the one that all others share."""
    found = Testbed.objects.create(owner=stranger, slug="tb9", name="lab", number=9)
    found.project.create()
    found.project.yaml.write_text(YAML)
    return found


@pytest.fixture
def personas(
    owner: User,
    stranger: User,
    admin: User,
    testbed: Testbed,
    share: ShareWith,
    namesake: Testbed,
) -> dict[str, Client]:
    staff = User.objects.create_user("steve", password="steve-pass", is_staff=True)
    clients = {name: Client() for name in PERSONAS}
    users = {"stranger": stranger, "owner": owner, "staff": staff, "admin": admin}
    for name in ("viewer", "operator", "editor"):
        users[name] = share(testbed, name, by_group=name != "operator")
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
    run.testbed.project.file("old.sh").write_text("echo")
    deleted = delete_file(run.testbed, "old.sh", owner)
    told = Notification.objects.create(user=owner, kind=Kind.TEST, title="told")
    Source.objects.create(
        testbed=run.testbed, url="https://git.example.org/lab", branch="main", hook="x"
    )
    found = {
        "run": run,
        "fetched": run.testbed.fetches.create(status="succeeded"),
        "execution": executed,
        "fetch": fetch,
        "testbed": run.testbed,
        "host": Host.objects.first(),
        "user": owner,
        "group": (group := Group.objects.create(name="lab")),
        "logincount": LoginCount.objects.add("address 192.0.2.1"),
        "allowance": Allowance.objects.create(user=owner),
        "groupallowance": GroupAllowance.objects.create(group=group),
        "trash": deleted,
        "told": told,
        "delivery": Delivery.objects.create(
            notification=told, channel="webhook", status="failed"
        ),
        "image": SavedImage.objects.create(
            owner=owner,
            name="base",
            file="own-0123456789abcdef.qcow2",
            sha256="0" * 64,
            size_bytes=1 << 20,
            account="nocloud",
            has_cloud_init=True,
            origin="lab/web",
        ),
        "reservation": Reservation.objects.create(
            host=Host.objects.first(),
            host_name="main",
            vcpus=1,
            memory_mib=512,
            begins_at=timezone.now(),
            ends_at=timezone.now() + timedelta(hours=1),
            user=owner,
            holder_name="olive",
            made_by="olive",
            made_at=timezone.now(),
        ),
        "labsnapshot": put(run.testbed, "web", taken("base")).listed.get(),
        "snapshotorder": SnapshotOrder.objects.create(
            testbed=run.testbed, verb="delete", name="base", guests=[], asked_by=owner
        ),
        "cleanup": Cleanup.objects.begin("old", admin, things, subject="orphans"),
    }
    NewHost.objects.create(name="host-c", address="192.0.2.3", begun_by="ada")
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


def reached(personas: dict[str, Client], method: str, address: str) -> set[str]:
    """Return who gets a page: the ends and, where one of these does, all others, too."""

    def among(names: Iterable[str]) -> set[str]:
        return {n for n in names if answered(personas[n], method, address) < 300}

    found = among(ENDS)
    return found | among(set(PERSONAS) - set(ENDS)) if found else found


def test_each_act_is_named_once_in_the_table_of_roles():
    assert sorted(act for acts in ROLE_TABLE.values() for act in acts) == sorted(Act)
    assert LEAST.keys() == set(Act)


def test_table_knows_every_address():
    known = [route for route, *_ in rows()]
    found = {*routes(get_resolver().url_patterns)}
    # tests/testbed/api/test_operations.py asks the operations of the API.
    pages = {route for route in found if not route.startswith("api/v1/")}

    assert sorted(known) == sorted(pages)


@pytest.mark.parametrize(
    "method", [pytest.param("GET", marks=pytest.mark.database), "POST"]
)
def test_each_persona_gets_what_the_table_says(
    personas: dict[str, Client], places: dict[str, object], method: str
):
    """On PostgreSQL each page has to open; rights are the same there: the ends ask."""
    asked = PERSONAS if connection.vendor == "sqlite" else ENDS
    wrong = []
    for _, address, *answers in rows():
        said = dict(zip(PERSONAS, answers[method == "POST"], strict=True))
        expected = [said[name] for name in asked]
        found = [
            str(answered(personas[name], method, address.format(**places)))
            for name in asked
        ]
        if found != expected:
            wrong.append(f"{method} {address}: {found}, not {expected}")

    assert wrong == []


def test_browser_that_opens_an_address_gets_a_whole_page(
    personas: dict[str, Client], places: dict[str, object]
):
    """Parts of pages, which their scripts ask for, lead on to the whole."""
    bare = []
    for name in ("owner", "admin"):
        for _, address, *_ in rows():
            path = address.format(**places)
            answer = personas[name].get(path, headers={"Sec-Fetch-Dest": "document"})
            is_html = answer.headers.get("Content-Type", "").startswith("text/html")
            if (
                answer.status_code < 300
                and is_html
                and b"</html>" not in answer.content
            ):
                bare.append(f"{path} for {name}")

    assert bare == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_testbed_of_the_same_name_is_its_owners_alone(
    personas: dict[str, Client], places: dict[str, object], method: str
):
    """Those who have a role in `olive/lab` have none in `sam/lab`."""
    reached = []
    for route, address, *_ in rows():
        if "<testbed:address>" not in route:
            continue
        other = address.replace("/olive/lab/", "/sam/lab/").format(**places)
        for name in ("owner", "editor", "operator", "viewer", "staff"):
            if (status := answered(personas[name], method, other)) not in (404, 405):
                reached.append(f"{method} {other} by {name}: {status}")
    own = answered(personas["stranger"], "GET", "/testbeds/sam/lab/")

    assert (reached, own) == ([], 200)


@pytest.mark.parametrize("method", OTHERS)
def test_other_methods_get_nobody_further(
    personas: dict[str, Client], places: dict[str, object], method: str
):
    further = []
    for _, address, get, post in rows():
        allowed = {
            name
            for name, *said in zip(PERSONAS, get, post, strict=True)
            if "200" in said
        }
        found = reached(personas, method, address.format(**places))
        further += [f"{method} {address} by {name}" for name in found - allowed]

    assert further == []


def test_form_without_its_token_changes_nothing(
    personas: dict[str, Client], places: dict[str, object]
):
    """The token is asked before the view and whose session it is; two users do for all."""
    accepted = []
    for name in ("owner", "admin"):
        personas[name].handler.enforce_csrf_checks = True
        for _, address, _, post in rows():
            status = answered(personas[name], "POST", address.format(**places))
            if status not in (403, 405):
                accepted.append(f"{address} by {name}: {status}, else {post}")

    assert accepted == []
    assert (Run.objects.count(), Testbed.objects.count()) == (3, 2)
