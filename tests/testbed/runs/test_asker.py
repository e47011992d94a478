"""The role in which a run was asked for: admins act on others' testbeds visibly."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.access.permissions import Act, record_act
from testbed.models import Testbed
from testbed.runs.cancelling import request_cancel
from tests.testbed.conftest import MakeRun, ShareWith


def test_admin_acts_visibly_on_anothers_testbed(
    page: Client, make_run: MakeRun, admin: User, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "testbed.access.record")
    run = make_run(user=admin)

    shown = page.get(f"/runs/{run.pk}/").content.decode()
    record_act(admin, Act.POWER, run.testbed, "Pause on web")

    assert "by ada (lab admin) on olive's testbed" in shown
    assert caplog.messages[-1] == (
        "act power by ada (lab admin) on olive's testbed lab: Pause on web"
    )


def test_owner_acts_without_a_role_beside_the_name(browser: Client, make_run: MakeRun):
    run = make_run()

    shown = browser.get(f"/runs/{run.pk}/").content.decode()

    assert (run.asked_as, run.asked_of) == ("", "")
    assert "olive's testbed" not in shown


def test_record_stays_true_after_the_testbed_was_given_away(
    page: Client, make_run: MakeRun, stranger: User, share: ShareWith, testbed: Testbed
):
    run = make_run(user=share(testbed, "operator"))
    Testbed.objects.update(owner=stranger)

    shown = " ".join(page.get(f"/runs/{run.pk}/").content.decode().split())

    assert "by a-operator (operator) on olive's testbed" in shown


def test_cancel_names_the_role(page: Client, make_run: MakeRun, admin: User):
    run = make_run()

    request_cancel(run.pk, admin)

    run.refresh_from_db()
    assert run.events.get(kind="cancel-requested").text == "ada (lab admin) cancels."
    assert run.message.startswith("Cancelled by ada (lab admin).")
