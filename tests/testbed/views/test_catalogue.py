"""Saving a guest as an image, and the page of images."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.models import Run, SavedImage, Testbed
from testbed.runs.outcome import finish_run
from tests.testbed.conftest import ShareWith
from tests.testbed.images.saved_images import made
from tests.testbed.preparing import prepare
from tests.testbed.reading import squeezed, visible

FORM = "/testbeds/olive/lab/images/"
JSON = {"Accept": "application/json"}


pytestmark = pytest.mark.usefixtures("image_store", "down")


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_form_names_what_the_image_holds(browser: Client):
    page = squeezed(browser.get(f"{FORM}?guest=db").content.decode())

    assert '<option value="db" selected>' in page
    words = visible(page)
    for word in (
        "passwords",
        "SSH host keys",
        "/etc/machine-id",
        "deleted files",
        "pose as the other",
    ):
        assert word in words


def test_form_starts_a_run_and_the_page_lists_the_image(
    browser: Client, testbed: Testbed, owner: User
):
    answer = browser.post(FORM, {"guest": "web", "name": "base"})

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.command, run.title) == ("save-image", "Save web as image base")
    page = visible(browser.get("/catalogue/").content.decode())
    assert "being saved" in page
    finish_run(run.pk, Run.Status.CANCELLED)
    assert "None yet." in visible(browser.get("/catalogue/").content.decode())
    end = browser.get(f"/runs/{run.pk}/").content.decode()
    assert "To the images" in end
    assert "Save as image" in visible(
        browser.get("/testbeds/olive/lab/guests/web/").content.decode()
    )


def test_refused_form_keeps_what_was_typed(browser: Client):
    answer = browser.post(FORM, {"guest": "db", "name": "Not this"})

    page = squeezed(answer.content.decode())
    assert answer.status_code == 422
    assert "An image cannot be named" in visible(page)
    assert 'value="Not this"' in page
    assert '<option value="db" selected>' in page


def test_programs_get_the_plan_and_the_reason(browser: Client):
    wanted = {"guest": "web", "name": "base", "shut_down": True}

    started = browser.post(FORM, wanted, "application/json")
    busy = browser.post(FORM, wanted | {"name": "two"}, "application/json")
    wrong = browser.post(FORM, [], "application/json")

    kinds = [one["kind"] for one in started.json()["instructions"]]
    assert kinds == ["save-images", "end"]
    assert busy.status_code == 409
    assert wrong.status_code == 422
    assert "not the JSON" in wrong.json()["error"]


def test_only_editors_and_owners_save(
    testbed: Testbed, share: ShareWith, stranger: User
):
    answers = {
        role: client_of(share(testbed, role)).get(FORM).status_code
        for role in ("viewer", "operator", "editor")
    }

    assert answers == {"viewer": 403, "operator": 403, "editor": 200}
    assert client_of(stranger).get(FORM).status_code == 404


def test_image_belongs_to_the_user_who_saves_it(testbed: Testbed, share: ShareWith):
    editor = share(testbed, "editor")

    made(testbed, editor)

    image = SavedImage.objects.get()
    assert image.owner == editor
    assert image.origin == "lab/web"


def test_strangers_see_no_image_until_it_is_shared(
    testbed: Testbed, owner: User, stranger: User, admin: User
):
    image = made(testbed, owner)
    other = client_of(stranger)
    hidden = other.get("/catalogue/", headers=JSON).json()["saved"]

    share = client_of(admin).post(
        f"/catalogue/{image.pk}/share/", {"shared": "on"}, headers=JSON
    )

    assert hidden == []
    assert share.json() == {"shared": True}
    (found,) = other.get("/catalogue/", headers=JSON).json()["saved"]
    assert (found["name"], found["ready"], found["shared"]) == ("base", True, True)
    assert found["origin"] == ""
    assert "lab/web" not in other.get("/catalogue/").content.decode()
    assert other.post(f"/catalogue/{image.pk}/delete/").status_code == 404
    assert other.post(f"/catalogue/{image.pk}/share/").status_code == 403


def test_deletion_asks_with_the_size_and_then_deletes(
    testbed: Testbed, owner: User, browser: Client
):
    address = f"/catalogue/{made(testbed, owner).pk}/delete/"
    question = browser.get(address).context["erasure"]

    refused = browser.post(address, headers=JSON)
    deleted = browser.post(address, {"confirm": question.token}, headers=JSON)

    assert refused.status_code == 428
    assert refused.json()["erases"]["losses"][0]["name"] == "base"
    assert deleted.json() == {"deleted": "base"}
    assert not SavedImage.objects.kept().exists()
    assert browser.get("/catalogue/", headers=JSON).json()["saved"] == []
    page = visible(browser.get("/catalogue/").content.decode())
    assert "until its file is gone" in page


def test_admin_is_asked_before_an_image_is_taken_from_others(
    testbed: Testbed, owner: User, stranger: User, admin: User
):
    image = made(testbed, owner)
    lab, address = client_of(admin), f"/catalogue/{image.pk}/share/"
    lab.post(address, {"shared": "on"})
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("ubuntu_22_04", "base", 1))
    testbed.owner = stranger
    testbed.save()
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    asked = lab.post(address)
    seal = asked.context["erasure"].seal
    taken = lab.post(address, {"seal": seal, "typed": "base"})

    words = visible(asked.content.decode())
    assert "It is used by sam/lab" in words
    assert "Type base to confirm" in words
    assert taken["Location"] == "/catalogue/"
    assert not SavedImage.objects.get().is_shared


def test_owner_is_told_what_keeps_an_image(
    testbed: Testbed, owner: User, browser: Client
):
    image = made(testbed, owner)
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("ubuntu_22_04", "base", 1))

    told = browser.get(f"/catalogue/{image.pk}/delete/")

    assert told.status_code == 422
    assert "it is used by lab" in visible(told.content.decode())
