"""Testbeds of before names keep their keys, and get them as names; and back."""

from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.models import Testbed
from testbed.testbeds.planning import planned
from tests.testbed.migrating import migrate_to_newest, migrated
from tests.testbed.preparing import prepare

BEFORE, AFTER = [("testbed", "0048_notifications")], [("testbed", "0049_names")]


def test_names_come_and_go_and_keys_stay(newest: None):
    apps = migrated(BEFORE)
    user = apps.get_model("auth", "User").objects.create(username="olive")
    keys = ["quickstart", "runs", "runs-testbed", "tb41"]
    for number, key in enumerate(keys):
        apps.get_model("testbed", "Testbed").objects.create(
            owner=user, slug=key, number=number
        )

    apps = migrated(AFTER)
    testbeds = apps.get_model("testbed", "Testbed").objects
    assert dict(testbeds.values_list("slug", "name")) == {
        "quickstart": "quickstart",
        "runs": "runs-testbed-testbed",
        "runs-testbed": "runs-testbed",
        "tb41": "tb41",
    }
    assert apps.get_model("testbed", "KeyCount").objects.get().last >= 41
    testbeds.filter(slug="quickstart").update(name="ring")

    apps = migrated(BEFORE)
    found = apps.get_model("testbed", "Testbed").objects.values_list("slug", flat=True)
    assert sorted(found) == sorted(keys)

    apps = migrated(AFTER)
    assert apps.get_model("testbed", "Testbed").objects.get(slug="quickstart").name == (
        "quickstart"
    )


def test_testbed_that_is_up_keeps_its_things_and_its_addresses(
    newest: None, testbed: Testbed, owner: User, stranger: User, client: Client
):
    state, _ = prepare(testbed, Command.UP, Options(provision=False))
    Testbed.objects.update(condition=Testbed.Condition.UP)
    migrated(BEFORE)
    migrate_to_newest()

    found = Testbed.objects.get()
    assert (found.slug, found.full_name) == ("lab", "olive/lab")
    assert found.directory == testbed.directory
    assert found.project.read_state() == state
    again = planned(found, Command.UP, Options(provision=False)).state
    assert again.guests == state.guests
    assert {guest.hostname for guest in again.guests} == {"lab-web", "lab-db"}
    bookmarks = ("", "runs/", "guests/web/", "edit/", "artefacts/", "ssh.zip")
    html = {"Accept": "text/html"}
    for user, status in ((owner, 200), (stranger, 404)):
        client.force_login(user)
        for rest in bookmarks:
            answer = client.get(f"/testbeds/lab/{rest}", headers=html, follow=True)
            assert answer.status_code == status, rest
            led = [("/testbeds/olive/lab/" + rest, 308)] if status == 200 else []
            assert answer.redirect_chain == led
