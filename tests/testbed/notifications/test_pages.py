"""The pages of notifications; nobody sees those of another user."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from testbed.models import Delivery, Entry, Notification, NotificationChoice
from testbed.models.notifications.choices import Channel, Kind
from testbed.notifications.choosing import choice_of


@pytest.fixture
def told(owner: User) -> Notification:
    return Notification.objects.create(
        user=owner, kind=Kind.RUN_ENDED, title="Up of <lab> failed", path="/trash/"
    )


def test_bell_counts_what_is_unread(browser: Client, told: Notification):
    assert "Notifications, 1 unread" in browser.get("/notifications/bell/").text

    response = browser.get(f"/notifications/{told.pk}/")

    assert (response.status_code, response.url) == (302, "/trash/")
    assert "unread" not in browser.get("/notifications/bell/").text


def test_all_that_the_page_showed_is_marked_as_read(
    browser: Client, told: Notification, owner: User
):
    assert "Up of &lt;lab&gt; failed" in browser.get("/notifications/").text
    later = Notification.objects.create(user=owner, kind=Kind.RUN_ENDED, title="later")

    browser.post("/notifications/read/", {"newest": told.pk})

    assert list(Notification.objects.unread(owner)) == [later]


def test_flood_is_listed_up_to_the_last_200_and_read_at_once(
    browser: Client,
    owner: User,
    django_assert_max_num_queries: DjangoAssertNumQueries,
):
    Notification.objects.bulk_create(
        Notification(user=owner, kind=Kind.RUN_ENDED, title=f"Run {number}")
        for number in range(10_000)
    )

    with django_assert_max_num_queries(15):
        last = browser.get("/notifications/", {"page": 999}).text
        bell = browser.get("/notifications/bell/").text

    assert ">99+<" in bell
    assert "Run 9800" in last
    assert "Run 9799" not in last
    newest = Notification.objects.latest("pk").pk
    assert f'name="newest" value="{newest}"' in last
    browser.post("/notifications/read/", {"newest": newest})
    assert not Notification.objects.unread(owner).exists()


@pytest.mark.parametrize("newest", ["", "x", "-1", "9" * 40, "\u0661"])
def test_wrong_number_marks_nothing(browser: Client, told: Notification, newest: str):
    assert browser.post("/notifications/read/", {"newest": newest}).status_code == 302
    assert Notification.objects.unread(told.user).exists()


def test_notifications_of_another_user_are_not_there(
    client: Client, told: Notification, stranger: User
):
    client.force_login(stranger)

    assert client.get(f"/notifications/{told.pk}/").status_code == 404
    assert "failed" not in client.get("/notifications/").text
    assert client.get("/notifications/new/").json() == {"notifications": []}
    client.post("/notifications/read/", {"newest": told.pk})
    assert Notification.objects.unread(told.user).exists()


def test_browser_gets_what_its_user_chose_for_it(
    browser: Client, told: Notification, owner: User
):
    (found,) = browser.get("/notifications/new/").json()["notifications"]
    assert found == {
        "id": told.pk,
        "title": "Up of <lab> failed",
        "text": "",
        "address": f"/notifications/{told.pk}/",
    }

    browser.post("/notifications/settings/", {"way": ["run_ended:mail", "x:y", "mail"]})

    assert browser.get("/notifications/new/").json() == {"notifications": []}
    choice = choice_of(owner)
    assert choice.chose(Kind.RUN_ENDED, Channel.MAIL)
    others = {
        key: []
        for key in ("every_run", "end_near", "host_away", "reservation", "push_up")
    }
    assert choice.channels == {"run_ended": ["mail"], **others}
    assert Entry.objects.latest("pk").act == "notifications"


def test_secret_of_a_webhook_is_shown_once(browser: Client, owner: User):
    url = "https://hooks.example.org/lab"

    response = browser.post("/notifications/webhook/", {"do": "set", "url": url})

    secret = NotificationChoice.objects.get(user=owner).secret
    assert secret in response.text
    page = browser.get("/notifications/settings/").text
    assert url in page
    assert secret not in page


def test_wrong_webhook_keeps_what_was_typed(browser: Client):
    response = browser.post(
        "/notifications/webhook/", {"do": "set", "url": "ftp://lab.example"}
    )

    assert response.status_code == 422
    assert "This is no address of a webhook." in response.text
    assert 'value="ftp://lab.example"' in response.text


def test_removed_webhook_leaves_no_secret(browser: Client, owner: User):
    url = "https://hooks.example.org/lab"
    browser.post("/notifications/webhook/", {"do": "set", "url": url})

    browser.post("/notifications/webhook/", {"do": "remove"})

    choice = NotificationChoice.objects.get(user=owner)
    assert (choice.webhook_url, choice.secret) == ("", "")
    response = browser.post("/notifications/webhook/", {"do": "test"})
    assert response.status_code == 422


def test_deliveries_are_shown_with_their_answers_and_bodies(
    browser: Client,
    told: Notification,
    django_assert_max_num_queries: DjangoAssertNumQueries,
):
    told.deliver_to([Channel.WEBHOOK] * 40)
    Delivery.objects.update(
        status="failed", tries=5, said="It answered 500.", tried_at=timezone.now()
    )

    with django_assert_max_num_queries(15):
        page = browser.get("/notifications/deliveries/").text

    assert page.count("failed: It answered 500.") == 40
    assert "&quot;title&quot;: &quot;Up of &lt;lab&gt; failed&quot;" in page
    assert page.count("Send again <span") == 40


def test_delivery_that_is_not_over_shows_its_next_attempt_and_no_button(
    browser: Client, told: Notification
):
    told.deliver_to([Channel.WEBHOOK, Channel.MAIL])
    due = timezone.localtime(Delivery.objects.first().due_at)

    page = browser.get("/notifications/deliveries/").text

    assert f"{due:%H:%M:%S}" in page
    assert "Send again <span" not in page


def test_deliveries_of_another_user_are_not_there(
    browser: Client, member: User, told: Notification
):
    told.deliver_to([Channel.WEBHOOK])
    told.user = member
    told.save()

    page = browser.get("/notifications/deliveries/").text

    assert "No mail was sent and no webhook called yet." in page
