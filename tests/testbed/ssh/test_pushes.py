"""Changed keys come into guests that run, and into the others when they do."""

import json
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orchestration.hosts import Hosts
from testbed.celery import PUSH_KEYS
from testbed.models import KeyProblem, Run, Testbed, UserKey
from testbed.settings import CELERY_BEAT_SCHEDULE
from testbed.ssh import pushes
from testbed.ssh.keys import keys_for, remove_key
from testbed.ssh.status import key_status
from tests.testbed.ssh.conftest import observe


def is_current(testbed: Testbed, name: str) -> bool:
    return key_status(testbed, testbed.project.read_state().guest(name)).is_current


def writes(testbed: Testbed, settings: object, name: str) -> int:
    """Count the times that keys were written into a guest."""
    domain = testbed.project.read_state().guest(name).domain
    log = settings.RUNTIME_DIR / "simulated" / f"{domain}.log"
    return log.read_text().count("authorized_keys") if log.exists() else 0


def test_running_guests_get_the_keys_once(
    up: Testbed, key: UserKey, kept: Hosts, settings: object
):
    assert not is_current(up, "web")

    pushes.push_all(kept)
    pushes.push_all(kept)

    assert is_current(up, "web")
    assert is_current(up, "db")
    first = writes(up, settings, "web")
    assert first > 0
    pushes.push_all(kept)
    assert writes(up, settings, "web") == first


def test_guest_that_is_off_gets_them_when_it_runs(
    up: Testbed, key: UserKey, kept: Hosts
):
    observe(up, "db", "host-b", "shut off")
    pushes.push_all(kept)
    assert not is_current(up, "db")

    observe(up, "db", "host-b")
    pushes.push_all(kept)

    assert is_current(up, "db")


def test_run_that_changes_the_testbed_goes_first(
    up: Testbed, key: UserKey, kept: Hosts, owner: User
):
    run = up.runs.create(
        asked_by=owner, command="up", plan={}, status=Run.Status.RUNNING
    )
    pushes.push_all(kept)
    assert not is_current(up, "web")

    run.status = Run.Status.SUCCEEDED
    run.save()
    pushes.push_all(kept)

    assert is_current(up, "web")


def test_many_testbeds_take_no_more_queries(
    up: Testbed, key: UserKey, kept: Hosts, owner: User
):
    pushes.push_all(kept)
    with CaptureQueriesContext(connection) as of_one:
        pushes.push_all(kept)
    for number in range(1000, 1010):
        Testbed.objects.create(
            owner=owner,
            slug=f"further-{number}",
            number=number,
            condition=Testbed.Condition.UP,
        )

    with CaptureQueriesContext(connection) as of_many:
        pushes.push_all(kept)

    assert len(of_many) <= len(of_one)


def test_deleted_testbed_is_forgotten(up: Testbed, key: UserKey, kept: Hosts):
    for _ in range(2):
        pushes.push_all(kept)
    assert up.pk in pushes._complete

    Testbed.objects.all().delete()
    pushes.push_all(kept)

    assert up.pk not in pushes._complete


def test_guests_of_all_testbeds_have_their_turn():
    assert pushes._in_turn([["a1", "a2", "a3"], [], ["b1"]]) == ["a1", "b1", "a2", "a3"]


def test_removed_key_leaves_the_guests(
    up: Testbed, key: UserKey, kept: Hosts, settings: object
):
    pushes.push_all(kept)
    before = writes(up, settings, "web")

    remove_key(key)
    assert not is_current(up, "web")
    pushes.push_all(kept)

    assert is_current(up, "web")
    assert writes(up, settings, "web") > before


def test_owner_who_may_not_sign_in_has_no_keys(up: Testbed, key: UserKey, owner: User):
    assert len(keys_for(up)) == 1

    User.objects.filter(pk=owner.pk).update(is_active=False)

    assert keys_for(up) == ()


def test_failure_is_shown_and_tried_again_after_a_while(
    up: Testbed, key: UserKey, kept: Hosts, settings: object, browser: Client
):
    folder = settings.RUNTIME_DIR / "simulated"
    folder.mkdir(parents=True, exist_ok=True)
    faults = folder / f"{up.project.read_state().guest('web').domain}.faults.json"
    faults.write_text(json.dumps({"": {"unreachable": True}}))

    pushes.push_all(kept)

    problem = KeyProblem.objects.get()
    page = browser.get("/testbeds/olive/lab/guests/web/").content.decode()
    assert problem.guest == "web"
    assert "not yet written" in page
    assert is_current(up, "db")
    faults.unlink()
    pushes.push_all(kept)
    assert not is_current(up, "web")
    KeyProblem.objects.update(tried_at=problem.tried_at - timedelta(minutes=2))
    pushes.push_all(kept)
    assert is_current(up, "web")
    assert not KeyProblem.objects.exists()


def test_beat_sends_the_task_that_a_change_sends():
    assert CELERY_BEAT_SCHEDULE["push-keys"]["task"] == PUSH_KEYS
