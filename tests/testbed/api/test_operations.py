"""Every operation with every persona and scope: the whole of who gets what, as a table.

An operation that the table does not know fails, as does a row without an operation.
"""

from collections.abc import Iterator
from inspect import getsource, unwrap
from re import search

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from testbed.access.permissions import Act, OwnAct, Permissions, is_in_scope
from testbed.access.roles import Role
from testbed.access.scopes import Scope
from testbed.api.keyed import HEADER
from testbed.api.v1 import api
from testbed.models import Run, Testbed
from testbed.testbeds.files import create_testbed, delete_file
from tests.testbed.api.conftest import ALL, Ask, asker
from tests.testbed.conftest import YAML, MakeRun, ShareWith

PERSONAS = ("anonymous", "stranger", "viewer", "operator", "editor", "owner", "admin")
MOST = ("owner", "admin")
ROLES = {role.value: role for role in Role} | {"admin": Role.ADMIN}
LAB = "/testbeds/olive/lab"
COMMAND = {"form": "command", "selection": "web", "words": ["true"]}
NEW = {"name": "fresh", "example": "quickstart"}
LISTS = (
    "/testbeds",
    "/activity",
    "/hosts",
    "/images",
    "/ssh-keys",
    "/tokens",
    "/groups",
    "/uploads",
    "/reservations",
    "/notifications",
    "/deliveries",
    "/me/budgets",
    f"{LAB}/record",
    f"{LAB}/budgets",
    f"{LAB}/runs",
    f"{LAB}/guests",
    f"{LAB}/commands",
    f"{LAB}/schedules",
    f"{LAB}/artefacts",
    f"{LAB}/ssh",
    f"{LAB}/captures",
)
# Of each operation: the request, the act, and what those get who may do it. `own` acts
# are on no testbed, `item` acts on a thing of the owner's.
TABLE: dict[str, tuple[str, str, object, str, Act | OwnAct, int]] = {
    "read_me": ("GET", "/me", None, "own", Act.SEE, 200),
    "list_testbeds": ("GET", "/testbeds", None, "own", Act.SEE, 200),
    "create_testbed": ("POST", "/testbeds", NEW, "own", Act.EDIT, 201),
    "read_testbed": ("GET", LAB, None, "testbed", Act.SEE, 200),
    "change_testbed": ("PATCH", LAB, {"tags": ["a"]}, "testbed", Act.DESCRIBE, 200),
    "delete_testbed": ("DELETE", LAB, None, "testbed", Act.DELETE, 409),
    "list_files": ("GET", f"{LAB}/files", None, "testbed", Act.SEE, 200),
    "read_file": (
        "GET",
        f"{LAB}/files/kvm-compose.yaml",
        None,
        "testbed",
        Act.SEE,
        200,
    ),
    "save_file": ("PUT", f"{LAB}/files/new.sh", b"new", "testbed", Act.EDIT, 428),
    "delete_file": ("DELETE", f"{LAB}/files/a.sh", None, "testbed", Act.EDIT, 422),
    "read_source": ("GET", f"{LAB}/source", None, "testbed", Act.SET_SOURCE, 404),
    "set_source": (
        "PUT",
        f"{LAB}/source",
        {"url": "https://git.example.org/a"},
        "testbed",
        Act.SET_SOURCE,
        201,
    ),
    "remove_source": ("DELETE", f"{LAB}/source", None, "testbed", Act.SET_SOURCE, 404),
    "fetch_source": ("POST", f"{LAB}/source/fetch", None, "testbed", Act.EDIT, 422),
    "list_fetches": ("GET", f"{LAB}/source/fetches", None, "testbed", Act.EDIT, 200),
    "renew_source_secret": (
        "POST",
        f"{LAB}/source/secret",
        None,
        "testbed",
        Act.SET_SOURCE,
        404,
    ),
    "confirm_source_host_key": (
        "PUT",
        f"{LAB}/source/host-key",
        {"fingerprint": "SHA256:x"},
        "testbed",
        Act.SET_SOURCE,
        404,
    ),
    "forget_source_host_key": (
        "DELETE",
        f"{LAB}/source/host-key",
        None,
        "testbed",
        Act.SET_SOURCE,
        404,
    ),
    "read_fetch": ("GET", f"{LAB}/source/fetches/0", None, "testbed", Act.EDIT, 404),
    "decide_conflict": (
        "POST",
        f"{LAB}/source/fetches/0/decide",
        {"use": "take"},
        "testbed",
        Act.EDIT,
        404,
    ),
    "check_yaml": ("POST", "/check", {"yaml": "a"}, "own", Act.SEE, 200),
    "check_yaml_of_testbed": (
        "POST",
        f"{LAB}/check",
        {"yaml": "a"},
        "testbed",
        Act.EDIT,
        200,
    ),
    "send_delivery_again": (
        "POST",
        "/deliveries/0/send",
        None,
        "own",
        OwnAct.NOTIFICATIONS,
        404,
    ),
    "read_webhook": ("GET", "/notifications/webhook", None, "own", OwnAct.WEBHOOK, 200),
    "set_webhook": (
        "PUT",
        "/notifications/webhook",
        {"url": "https://chat.example.org/x"},
        "own",
        OwnAct.WEBHOOK,
        200,
    ),
    "remove_webhook": (
        "DELETE",
        "/notifications/webhook",
        None,
        "own",
        OwnAct.WEBHOOK,
        204,
    ),
    "test_webhook": (
        "POST",
        "/notifications/webhook/test",
        None,
        "own",
        OwnAct.NOTIFICATIONS,
        422,
    ),
    "list_tokens": ("GET", "/tokens", None, "own", Act.SEE, 200),
    "revoke_token": ("DELETE", "/tokens/0", None, "own", OwnAct.TOKENS, 404),
    "list_invitations": ("GET", "/invitations", None, "lab", Act.ADMINISTER, 200),
    "invite": (
        "POST",
        "/invitations",
        {"email": "new@example.org"},
        "lab",
        Act.ADMINISTER,
        201,
    ),
    "withdraw_invitation": (
        "DELETE",
        "/invitations/0",
        None,
        "lab",
        Act.ADMINISTER,
        404,
    ),
    "empty_trash": ("DELETE", "/trash", None, "own", Act.DELETE, 200),
    "refresh_lab_snapshots": (
        "POST",
        "/snapshots/refresh",
        None,
        "lab",
        Act.ADMINISTER,
        204,
    ),
    "read_answers_archive": (
        "GET",
        "/runs/{run}/answers.zip",
        None,
        "testbed",
        Act.SEE,
        404,
    ),
    "compare_answers": (
        "GET",
        "/runs/{run}/difference?of=web",
        None,
        "testbed",
        Act.SEE,
        404,
    ),
    "list_deliveries": ("GET", "/deliveries", None, "own", Act.SEE, 200),
    "rename_file": (
        "PATCH",
        f"{LAB}/files/a.sh",
        {"path": "b.sh"},
        "testbed",
        Act.EDIT,
        422,
    ),
    "create_from_archive": ("POST", "/archives?name=x", None, "own", Act.EDIT, 415),
    "add_archive": ("POST", f"{LAB}/archive", None, "testbed", Act.EDIT, 415),
    "copy_testbed": (
        "POST",
        f"{LAB}/copies",
        {"name": "second"},
        "testbed",
        Act.COPY,
        201,
    ),
    "read_inputs": ("GET", f"{LAB}/inputs", None, "testbed", Act.UP, 200),
    "list_trash": ("GET", "/trash", None, "own", Act.SEE, 200),
    "restore_from_trash": (
        "POST",
        "/trash/{trash}/restore",
        None,
        "item",
        Act.EDIT,
        200,
    ),
    "remove_from_trash": ("DELETE", "/trash/{trash}", None, "item", Act.DELETE, 428),
    "read_activity": ("GET", "/activity", None, "own", Act.SEE, 200),
    "list_runs": ("GET", f"{LAB}/runs", None, "testbed", Act.SEE, 200),
    "start_run": ("POST", f"{LAB}/runs", {"command": "down"}, "testbed", Act.UP, 409),
    "change_power": (
        "POST",
        f"{LAB}/power",
        {"verb": "reboot", "selection": "web"},
        "testbed",
        Act.POWER,
        409,
    ),
    "bring_guests_up": (
        "POST",
        f"{LAB}/up",
        {"mode": "up", "selection": "web"},
        "testbed",
        Act.UP_GUESTS,
        409,
    ),
    "execute": (
        "POST",
        f"{LAB}/exec",
        {"form": "command", "selection": "web", "words": ["true"]},
        "testbed",
        Act.EXECUTE,
        409,
    ),
    "read_run": ("GET", "/runs/{run}", None, "testbed", Act.SEE, 200),
    "cancel_run": ("POST", "/runs/{run}/cancel", None, "testbed", Act.CANCEL, 202),
    "read_answers": ("GET", "/runs/{run}/answers", None, "testbed", Act.SEE, 404),
    "read_answer": ("GET", "/runs/{run}/answers/web", None, "testbed", Act.SEE, 404),
    "list_guests": ("GET", f"{LAB}/guests", None, "testbed", Act.SEE, 200),
    "read_guest": ("GET", f"{LAB}/guests/web", None, "testbed", Act.SEE, 200),
    "open_console": (
        "POST",
        f"{LAB}/guests/web/console",
        {},
        "testbed",
        Act.WATCH_CONSOLE,
        200,
    ),
    "check_guest": ("POST", f"{LAB}/guests/web/check", None, "testbed", Act.CHECK, 409),
    "list_snapshots": ("GET", f"{LAB}/snapshots", None, "testbed", Act.SEE, 200),
    "act_on_snapshot": (
        "POST",
        f"{LAB}/snapshots",
        {"verb": "create", "guest": "web", "name": "base"},
        "testbed",
        Act.SNAPSHOT,
        422,
    ),
    "put_yaml_back": (
        "POST",
        f"{LAB}/snapshots/yaml",
        {"name": "all"},
        "testbed",
        Act.EDIT,
        422,
    ),
    "read_expiry": ("GET", f"{LAB}/expiry", None, "testbed", Act.SEE, 200),
    "change_expiry": ("POST", f"{LAB}/expiry", {}, "testbed", Act.EXTEND, 422),
    "list_protections": ("GET", f"{LAB}/protection", None, "testbed", Act.SEE, 200),
    "protect": ("PUT", f"{LAB}/protection", None, "testbed", Act.PROTECT, 409),
    "lift_protection": (
        "DELETE",
        f"{LAB}/protection",
        None,
        "testbed",
        Act.PROTECT,
        200,
    ),
    "list_shares": ("GET", f"{LAB}/shares", None, "testbed", Act.SHARE, 200),
    "create_share": (
        "POST",
        f"{LAB}/shares",
        {"user": "unknown", "role": "viewer"},
        "testbed",
        Act.SHARE,
        422,
    ),
    "change_role": (
        "PATCH",
        f"{LAB}/shares/0",
        {"role": "viewer"},
        "testbed",
        Act.SHARE,
        404,
    ),
    "delete_share": ("DELETE", f"{LAB}/shares/0", None, "testbed", Act.SHARE, 404),
    "list_hosts": ("GET", "/hosts", None, "own", Act.SEE, 200),
    "read_host": ("GET", "/hosts/main", None, "own", Act.SEE, 200),
    "list_ssh_keys": ("GET", "/ssh-keys", None, "own", Act.SEE, 200),
    "add_ssh_key": ("POST", "/ssh-keys", {"key": "x"}, "own", OwnAct.SSH_KEYS, 422),
    "remove_ssh_key": ("DELETE", "/ssh-keys/0", None, "own", OwnAct.SSH_KEYS, 404),
    "read_ssh": ("GET", f"{LAB}/ssh", None, "testbed", Act.SSH, 200),
    "list_artefacts": ("GET", f"{LAB}/artefacts", None, "testbed", Act.ARTEFACTS, 200),
    "read_artefact": (
        "GET",
        f"{LAB}/artefacts/plan-up.txt",
        None,
        "testbed",
        Act.ARTEFACTS,
        200,
    ),
    "read_artefacts": (
        "GET",
        f"{LAB}/artefacts.zip",
        None,
        "testbed",
        Act.ARTEFACTS,
        200,
    ),
    "list_fetched": (
        "GET",
        "/runs/{run}/fetched",
        None,
        "testbed",
        Act.TAKE_FETCHED,
        404,
    ),
    "read_fetched_file": (
        "GET",
        "/runs/{run}/fetched/file?guest=web&path=a",
        None,
        "testbed",
        Act.TAKE_FETCHED,
        404,
    ),
    "read_fetched_files": (
        "GET",
        "/runs/{run}/fetched/archive",
        None,
        "testbed",
        Act.TAKE_FETCHED,
        404,
    ),
    "delete_fetched_files": (
        "DELETE",
        "/runs/{run}/fetched",
        None,
        "testbed",
        Act.TAKE_FETCHED,
        404,
    ),
    "list_capture_places": (
        "GET",
        f"{LAB}/captures",
        None,
        "testbed",
        Act.EXECUTE,
        200,
    ),
    "read_packets": (
        "GET",
        "/runs/{run}/capture.pcap",
        None,
        "testbed",
        Act.TAKE_PACKETS,
        404,
    ),
    "list_images": ("GET", "/images", None, "own", Act.SEE, 200),
    "save_image": (
        "POST",
        f"{LAB}/images",
        {"guest": "web", "name": "x"},
        "testbed",
        Act.SAVE_IMAGE,
        409,
    ),
    "delete_image": ("DELETE", "/images/0", None, "own", OwnAct.IMAGES, 404),
    "share_image": (
        "PUT",
        "/images/0/shared",
        {"shared": True},
        "lab",
        Act.ADMINISTER,
        404,
    ),
    "list_commands": ("GET", f"{LAB}/commands", None, "testbed", Act.EXECUTE, 200),
    "save_command": (
        "POST",
        f"{LAB}/commands",
        {"name": "x", "execution": COMMAND},
        "testbed",
        Act.SAVE_COMMAND,
        201,
    ),
    "run_command": ("POST", f"{LAB}/commands/0/run", {}, "testbed", Act.EXECUTE, 404),
    "delete_command": (
        "DELETE",
        f"{LAB}/commands/0",
        None,
        "testbed",
        Act.SAVE_COMMAND,
        404,
    ),
    "list_schedules": ("GET", f"{LAB}/schedules", None, "testbed", Act.SEE, 200),
    "set_schedule": (
        "PUT",
        f"{LAB}/schedules/nightly",
        {},
        "testbed",
        Act.SCHEDULE_SNAPSHOTS,
        200,
    ),
    "remove_schedule": (
        "DELETE",
        f"{LAB}/schedules/nightly",
        None,
        "testbed",
        Act.SCHEDULE_SNAPSHOTS,
        204,
    ),
    "read_guest_load": ("GET", f"{LAB}/guests/web/load", None, "testbed", Act.SEE, 200),
    "read_host_load": ("GET", "/hosts/main/load", None, "own", Act.SEE, 200),
    "read_budgets": ("GET", f"{LAB}/budgets", None, "testbed", Act.SEE, 200),
    "read_own_budgets": ("GET", "/me/budgets", None, "own", Act.SEE, 200),
    "list_quotas": ("GET", "/quotas", None, "lab", Act.ADMINISTER, 200),
    "set_user_limits": (
        "PUT",
        "/quotas/users/olive",
        {"guests": 3},
        "lab",
        Act.ADMINISTER,
        204,
    ),
    "remove_user_limits": (
        "DELETE",
        "/quotas/users/olive",
        None,
        "lab",
        Act.ADMINISTER,
        204,
    ),
    "set_group_limits": ("PUT", "/quotas/groups/0", {}, "lab", Act.ADMINISTER, 404),
    "remove_group_limits": (
        "DELETE",
        "/quotas/groups/0",
        None,
        "lab",
        Act.ADMINISTER,
        404,
    ),
    "list_reservations": ("GET", "/reservations", None, "own", Act.SEE, 200),
    "make_reservation": (
        "POST",
        "/reservations",
        {"vcpus": 1, "memory_mib": 1, "begins": "x", "ends": "y"},
        "own",
        OwnAct.RESERVATIONS,
        422,
    ),
    "read_reservation": ("GET", "/reservations/0", None, "own", Act.SEE, 404),
    "change_reservation": (
        "PATCH",
        "/reservations/0",
        {},
        "own",
        OwnAct.RESERVATIONS,
        404,
    ),
    "cancel_reservation": (
        "DELETE",
        "/reservations/0",
        None,
        "own",
        OwnAct.RESERVATIONS,
        404,
    ),
    "list_record": ("GET", "/record", None, "lab", Act.ADMINISTER, 200),
    "read_record_csv": ("GET", "/record.csv", None, "lab", Act.ADMINISTER, 200),
    "list_record_of_testbed": (
        "GET",
        f"{LAB}/record",
        None,
        "testbed",
        Act.READ_RECORD,
        200,
    ),
    "list_notifications": ("GET", "/notifications", None, "own", Act.SEE, 200),
    "mark_read": (
        "POST",
        "/notifications/read",
        {"newest": 1},
        "own",
        OwnAct.NOTIFICATIONS,
        200,
    ),
    "read_ways": ("GET", "/notifications/ways", None, "own", Act.SEE, 200),
    "choose_ways": (
        "PUT",
        "/notifications/ways",
        {"ways": {}},
        "own",
        OwnAct.NOTIFICATIONS,
        200,
    ),
    "give_testbed": (
        "PUT",
        f"{LAB}/owner",
        {"to": "unknown"},
        "testbed",
        Act.TRANSFER,
        422,
    ),
    "charge_testbed": (
        "PUT",
        f"{LAB}/charge",
        {"group": 0},
        "testbed",
        Act.TRANSFER,
        422,
    ),
    "mark_favourite": ("PUT", f"{LAB}/favourite", None, "mark", OwnAct.FAVOURITES, 200),
    "unmark_favourite": (
        "DELETE",
        f"{LAB}/favourite",
        None,
        "mark",
        OwnAct.FAVOURITES,
        200,
    ),
    "list_groups": ("GET", "/groups", None, "own", Act.SEE, 200),
    "create_group": ("POST", "/groups", {"name": "new"}, "lab", Act.ADMINISTER, 201),
    "read_group": ("GET", "/groups/0", None, "own", Act.SEE, 404),
    "delete_group": ("DELETE", "/groups/0", None, "lab", Act.ADMINISTER, 404),
    "add_group_member": (
        "PUT",
        "/groups/0/members/olive",
        None,
        "own",
        OwnAct.GROUPS,
        404,
    ),
    "remove_group_member": (
        "DELETE",
        "/groups/0/members/olive",
        None,
        "own",
        OwnAct.GROUPS,
        404,
    ),
    "add_group_manager": (
        "PUT",
        "/groups/0/managers/olive",
        None,
        "lab",
        Act.ADMINISTER,
        404,
    ),
    "remove_group_manager": (
        "DELETE",
        "/groups/0/managers/olive",
        None,
        "lab",
        Act.ADMINISTER,
        404,
    ),
    "read_tus": ("OPTIONS", "/uploads", None, "own", Act.SEE, 204),
    "list_uploads": ("GET", "/uploads", None, "own", Act.SEE, 200),
    "begin_upload": ("POST", f"{LAB}/uploads", None, "testbed", Act.EDIT, 400),
    "read_offset": ("HEAD", "/uploads/0", None, "own", Act.SEE, 404),
    "send_part": ("PATCH", "/uploads/0", None, "own", Act.SEE, 404),
    "end_upload": ("DELETE", "/uploads/0", None, "own", Act.SEE, 404),
    "list_new_hosts": ("GET", "/new-hosts", None, "lab", Act.ADMINISTER, 200),
    "begin_host": ("POST", "/new-hosts", {"name": "main"}, "lab", Act.ADMINISTER, 422),
    "read_new_host": ("GET", "/new-hosts/none", None, "lab", Act.ADMINISTER, 404),
    "check_new_host": ("POST", "/new-hosts/none/check", {}, "lab", Act.ADMINISTER, 404),
    "confirm_host_key": (
        "POST",
        "/new-hosts/none/confirm",
        {"fingerprint": "x"},
        "lab",
        Act.ADMINISTER,
        404,
    ),
    "add_host": ("POST", "/new-hosts/none/add", None, "lab", Act.ADMINISTER, 404),
    "discard_new_host": ("DELETE", "/new-hosts/none", None, "lab", Act.ADMINISTER, 404),
    "read_host_settings": (
        "GET",
        "/hosts/main/settings",
        None,
        "lab",
        Act.ADMINISTER,
        200,
    ),
    "change_host_settings": (
        "PATCH",
        "/hosts/main/settings",
        {},
        "lab",
        Act.ADMINISTER,
        428,
    ),
    "drain_host": ("PUT", "/hosts/main/drain", {}, "lab", Act.ADMINISTER, 204),
    "end_drain": ("DELETE", "/hosts/main/drain", None, "lab", Act.ADMINISTER, 422),
    "remove_host": ("DELETE", "/hosts/main", None, "lab", Act.ADMINISTER, 422),
    "list_orphans": ("GET", "/orphans", None, "lab", Act.ADMINISTER, 200),
    "delete_orphans": ("DELETE", "/orphans/none", None, "lab", Act.ADMINISTER, 422),
    "adopt_testbed": (
        "POST",
        "/orphans/none/adopt",
        {"owner": "olive"},
        "lab",
        Act.ADMINISTER,
        422,
    ),
    "read_cleanup": ("GET", "/cleanups/0", None, "lab", Act.ADMINISTER, 404),
    "list_stored_images": ("GET", "/stored-images", None, "lab", Act.ADMINISTER, 200),
    "refresh_stored_images": (
        "POST",
        "/stored-images/refresh",
        None,
        "lab",
        Act.ADMINISTER,
        204,
    ),
    "delete_stored_images": (
        "POST",
        "/stored-images/delete",
        {"picks": ["all"]},
        "lab",
        Act.ADMINISTER,
        422,
    ),
    "list_lab_snapshots": ("GET", "/snapshots", None, "lab", Act.ADMINISTER, 200),
    "act_on_lab_snapshots": (
        "POST",
        "/snapshots",
        {"verb": "delete", "picks": []},
        "lab",
        Act.ADMINISTER,
        422,
    ),
    "list_snapshot_orders": (
        "GET",
        "/snapshots/orders",
        None,
        "lab",
        Act.ADMINISTER,
        200,
    ),
    "read_log": ("GET", "/runs/{run}/log", None, "testbed", Act.SEE, 200),
}


def operations() -> Iterator[str]:
    """Yield the id of each operation in the OpenAPI document."""
    for methods in api.get_openapi_schema()["paths"].values():
        for operation in methods.values():
            yield operation["operationId"]


def expected(
    persona: str, scope: Scope, of: str, act: Act | OwnAct, status: int
) -> int:
    """Return the status that a persona with a scope gets."""
    if persona == "anonymous":
        return 401
    role, in_scope = (
        ROLES.get(persona),
        is_in_scope(act, frozenset({scope, Scope.READ})),
    )
    if of == "own":
        return status if in_scope else 403
    if of == "lab":
        return status if persona == "admin" and in_scope else 403
    if of == "item":
        is_seen = persona in ("owner", "admin")
        return (status if in_scope else 403) if is_seen else 404
    if role is None:
        return 404
    if of == "mark":
        return status if in_scope else 403
    return status if Permissions(role).allows(act) and in_scope else 403


@pytest.fixture
def users(
    owner: User, stranger: User, admin: User, testbed: Testbed, share: ShareWith
) -> dict[str, User | None]:
    found = {"anonymous": None, "stranger": stranger, "owner": owner, "admin": admin}
    return found | {
        name: share(testbed, name) for name in ("viewer", "operator", "editor")
    }


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    return make_run()


def test_table_knows_every_operation_by_a_name_of_its_own():
    assert sorted(operations()) == sorted(TABLE)


def test_document_names_the_header_of_each_request_that_is_made_once():
    keyed, documented = set(), set()
    for _, router in api._routers:
        for view in router.path_operations.values():
            for operation in view.operations:
                source = getsource(unwrap(operation.view_func))
                if search(r"return (made_once|started)\(", source):
                    keyed.add(operation.view_func.__name__)
                for one in (operation.openapi_extra or {}).get("parameters", ()):
                    if one["name"] == HEADER:
                        documented.add(operation.view_func.__name__)

    assert {"create", "start_run", "make_reservation"} <= keyed
    assert documented == keyed


@pytest.mark.database
@pytest.mark.parametrize("scope", Scope)
def test_each_persona_gets_what_the_table_says(
    users: dict[str, User | None], run: Run, scope: Scope
):
    """All ask with the scope of the act, those who may most with the other scopes, too.

    On PostgreSQL each operation has to work; rights are the same there.
    """
    is_there = connection.vendor == "postgresql"
    wrong = []
    for persona in MOST if is_there else PERSONAS:
        ask = asker(users[persona], scope)
        for name, (method, path, body, of, act, status) in TABLE.items():
            is_others = not is_in_scope(act, frozenset({scope}))
            if is_others and (is_there or persona not in MOST):
                continue
            found = undone(ask, run, method, path, body)
            wanted = expected(persona, scope, of, act, status)
            if found != wanted:
                wrong.append(f"{name} by {persona} with {scope}: {found}, not {wanted}")

    assert wrong == []


def undone(ask: Ask, run: Run, method: str, path: str, body: object) -> int:
    """Return the status; what the request changed in the database is undone."""
    with transaction.atomic():
        places = {"run": run.pk, "trash": trashed(run) if "{trash}" in path else 0}
        answer = ask(method, path.format(**places), body)
        transaction.set_rollback(True)
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.headers["Content-Type"] == "application/problem+json", path
        said = answer.json()
        assert said["status"] == answer.status_code
        assert said["detail"], path
    return answer.status_code


def trashed(run: Run) -> int:
    """Delete a file of the testbed; return its number in the trash."""
    run.testbed.project.file("b.sh").write_text("echo")
    return delete_file(run.testbed, "b.sh", run.testbed.owner).pk


def test_scope_of_the_whole_act_is_asked_not_only_that_of_the_operation(
    users: dict[str, User | None], run: Run
):
    """One operation has acts of several scopes: each asks for its own."""
    snapshot = {"verb": "delete", "guest": "web", "name": "base"}
    on_hosts = {
        "form": "command",
        "targets": "hosts",
        "selection": "main",
        "words": ["true"],
    }
    asked = [
        ("run", "POST", f"{LAB}/runs", {"command": "clear-artefacts"}),
        ("manage", "POST", f"{LAB}/runs", {"command": "up"}),
        ("edit", "PATCH", LAB, {"name": "other", "tags": ["a"]}),
        ("manage", "PATCH", LAB, {"name": "other", "tags": ["a"]}),
        ("run", "POST", f"{LAB}/exec", on_hosts),
        ("edit", "POST", f"{LAB}/snapshots", snapshot),
    ]

    statuses = [
        asker(users["admin"], scope)(method, path, body).status_code
        for scope, method, path, body in asked
    ]

    assert statuses == [403] * len(asked)
    assert run.testbed.runs.count() == 1
    assert Testbed.objects.get(pk=run.testbed_id).name == "lab"


def test_lists_ask_the_database_a_bounded_number_of_times(
    owner: User, generated: Testbed, django_assert_max_num_queries: object
):
    ask = asker(owner, *ALL)
    for name in "abcdefghijklmnop":
        made = create_testbed(owner, name, {"kvm-compose.yaml": YAML.encode()})
        Run.objects.create(testbed=made, command="up", plan={}, asked_by=owner)
    for path in LISTS:
        with django_assert_max_num_queries(15):
            assert ask("GET", path).status_code == 200
