"""A run that waits: for how long no worker has taken it, and what the reason may be.

Workers that are busy elsewhere are named as the reason; a run that is held for others
lacks no worker until those are dead.
"""

from datetime import timedelta

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from testbed.models import Batch, Run, Testbed
from tests.testbed.conftest import Doors
from tests.testbed.unclaimed_work import LONG_AGO, waited_s


def test_run_that_no_worker_takes_says_since_when(
    client: Client, owner: User, make_run: object
) -> None:
    run = make_run()
    client.force_login(owner)
    paths = (f"/runs/{run.pk}/", f"/runs/{run.pk}/waiting/")
    for path in paths:
        assert "No worker" not in client.get(path).content.decode()

    Run.objects.update(created_at=timezone.now() - timedelta(seconds=40))

    for path in paths:
        shown = client.get(path).content.decode()
        assert 40 <= waited_s(shown, "run") < 3600
        assert "Is the Celery worker running?" in shown


def test_run_whose_batches_nobody_claims_says_so_until_one_does(
    client: Client, owner: User, make_run: object, doors: Doors
) -> None:
    run = make_run()
    client.force_login(owner)
    path = f"/runs/{run.pk}/waiting/"
    Run.objects.update(status="running", driver="server")
    before = timezone.now() - timedelta(seconds=20)
    run.instructions.filter(index=0).update(status="running", started_at=before)
    batch = Batch.objects.create(
        instruction=run.instructions.get(index=0),
        host="main",
        admitted_at=before,
        celery_id="00000000-0000-0000-0000-000000000001",
    )

    assert waited_s(client.get(path).content.decode(), "run") >= 20

    Batch.objects.filter(pk=batch.pk).update(status="running")
    assert "No worker" not in client.get(path).content.decode()


def test_run_that_is_held_for_others_is_not_said_to_lack_a_worker(
    client: Client, owner: User, make_run: object, doors: Doors
) -> None:
    run = make_run()
    client.force_login(owner)
    path = f"/runs/{run.pk}/waiting/"
    Run.objects.update(status="running", driver="server")
    before = timezone.now() - timedelta(seconds=60)
    instruction = run.instructions.get(index=0)
    run.instructions.filter(index=0).update(status="running", started_at=before)
    Batch.objects.create(
        instruction=instruction,
        host="main",
        celery_id="00000000-0000-0000-0000-000000000001",
    )
    elsewhere = Batch.objects.create(
        instruction=run.instructions.get(index=1),
        host="main",
        status="running",
        lease_until=timezone.now() + LONG_AGO,
        celery_id="00000000-0000-0000-0000-000000000002",
    )
    assert waited_s(client.get(path).content.decode(), "run") == 0

    # The workers that it was held for are dead: nobody will ever admit it.
    Batch.objects.filter(pk=elsewhere.pk).update(lease_until=before)

    assert waited_s(client.get(path).content.decode(), "run") >= 60


def test_busy_workers_are_named_as_the_reason(
    client: Client, owner: User, make_run: object, doors: Doors
) -> None:
    run = make_run()
    client.force_login(owner)
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=40))
    elsewhere = Testbed.objects.create(owner=owner, slug="other", number=8)
    busy = Run.objects.create(
        testbed=elsewhere, command="up", plan={}, asked_by=owner, status="running"
    )
    instruction = busy.instructions.create(index=0, kind="init", stage="x", title="x")
    Batch.objects.create(
        instruction=instruction,
        host="main",
        status="running",
        lease_until=timezone.now() + LONG_AGO,
        celery_id="00000000-0000-0000-0000-000000000002",
    )

    shown = client.get(f"/runs/{run.pk}/waiting/").content.decode()

    assert "busy with 1 other task" in shown
    assert "Celery worker running" not in shown


def test_run_that_is_over_waits_for_nobody(
    client: Client, owner: User, make_run: object
) -> None:
    run = make_run()
    client.force_login(owner)
    Run.objects.update(status="failed", created_at=timezone.now() - LONG_AGO)

    shown = client.get(f"/runs/{run.pk}/waiting/").content.decode()

    assert "No worker" not in shown
    assert "data-poll" not in shown


def test_stranger_does_not_see_whether_a_run_waits(
    client: Client, stranger: User, make_run: object
) -> None:
    run = make_run()
    client.force_login(stranger)

    assert client.get(f"/runs/{run.pk}/waiting/").status_code == 404
