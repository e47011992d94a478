"""Budgets say what is used of what is allowed: of a testbed, and of its owner."""

import shutil

import pytest

from orchestration.project.fetched import Arrival, Quota
from testbed.models import Allowance, Run, Testbed
from testbed.pages.budgets import budgets_of_testbed, files_and_logs_of, quota_of
from testbed.testbeds.files import update_files

pytestmark = pytest.mark.database

MIB = 1024**2


def shown(budgets):
    return {budget.name: budget.shown for budget in budgets}


def test_testbed_and_its_owner_have_budgets_with_what_is_used(testbed, owner):
    Allowance.objects.create(user=owner, testbeds=3, testbed_log_mib=5, user_mib=7)
    Testbed.objects.create(owner=owner, slug="other", number=8)
    update_files(testbed, {"kvm-compose.yaml": b"", "data": bytes(2 * MIB)})
    for status, mib in (("failed", 1), ("succeeded", 2)):
        Run.objects.create(
            testbed=testbed,
            command="up",
            plan={},
            asked_by=owner,
            status=status,
            log_bytes=mib * MIB,
        )

    one = shown(budgets_of_testbed(testbed))
    all_of_them = shown((*files_and_logs_of(owner), *quota_of(owner)))

    assert one == {
        "Files": "2.0 MiB of 512.0 MiB",
        "Disks": "0 B of 16.0 TiB",
        "Fetched files": "0 B of 20.0 GiB",
        "Logs": "3.0 MiB of 5.0 MiB",
    }
    assert all_of_them == {
        "Files": "2.0 MiB of 7.0 MiB",
        "Logs": "3.0 MiB of 4.0 GiB",
        "Guests": "0 of 2000",
        "vCPUs": "0 of 4000",
        "Memory": "0 B of 8.0 TiB",
        "Disks": "0 B of 32.0 TiB",
        "Testbeds": "2 of 3",
        "Runs at once": "0 of 10",
    }


def test_fetched_files_count_until_they_are_removed(testbed, owner, settings):
    settings.FETCHED_QUOTA = Quota(size_bytes=8 * MIB, spare_bytes=0)
    folder = testbed.project.fetched(3)
    arrival = Arrival(folder, "web", settings.FETCHED_QUOTA)
    with arrival.opened():
        arrival.spend(2 * MIB)

    there = shown(budgets_of_testbed(testbed))
    shutil.rmtree(folder)
    gone = shown(budgets_of_testbed(testbed))

    assert there["Fetched files"] == "2.0 MiB of 8.0 MiB"
    assert gone["Fetched files"] == "0 B of 8.0 MiB"


def test_page_of_a_testbed_asks_for_its_budgets(testbed, browser):
    whole = browser.get("/testbeds/olive/lab/").content.decode()
    page = browser.get("/testbeds/olive/lab/budgets/").content.decode()
    asked = browser.get("/testbeds/olive/lab/budgets/", headers={"HX-Request": "true"})

    assert 'hx-get="/testbeds/olive/lab/budgets/"' in whole
    assert "<h1>Budgets of lab</h1>" in page
    assert asked.content.decode().strip() in page
    assert "of 512.0 MiB" in page
    assert "above the limit, the oldest are removed first" in page
