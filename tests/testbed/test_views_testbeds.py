"""Who sees which testbed, and what its pages say."""

import io
import tarfile

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from orchestration.instructions.base import Command, Options
from testbed.models import Host, ObservedGuest, Run, Testbed
from testbed.services.planning import prepare
from testbed.services.testbeds import list_files
from tests.testbed.conftest import YAML

PAGES = (
    "/",
    "/testbeds/new/",
    "/testbeds/lab/",
    "/testbeds/lab/edit/",
    "/testbeds/lab/artefacts/",
)
BROKEN = "machines:\n  - name: web\n    libvirt: {cpus: two, memory_mb: 1}\n"


@pytest.fixture
def generated(testbed: Testbed) -> Testbed:
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    return testbed


def paths_of(testbed: Testbed) -> list[tuple[str, str]]:
    base = f"/testbeds/{testbed.slug}"
    return [
        ("get", f"{base}/"),
        ("get", f"{base}/live/"),
        ("get", f"{base}/guests/"),
        ("get", f"{base}/runs/"),
        ("get", f"{base}/files/kvm-compose.yaml"),
        ("get", f"{base}/delete/"),
        ("post", f"{base}/delete/"),
        ("post", f"{base}/runs/"),
        ("get", f"{base}/edit/"),
        ("post", f"{base}/edit/"),
        ("get", f"{base}/edit/kvm-compose.yaml"),
        ("post", f"{base}/check/"),
        ("get", f"{base}/files/new/?path=new.sh"),
        ("post", f"{base}/files/rename/"),
        ("get", f"{base}/artefacts/"),
        ("get", f"{base}/artefacts.zip"),
        ("get", f"{base}/artefacts/state.json"),
        ("post", f"{base}/files/"),
        ("post", f"{base}/files/remove/"),
    ]


def test_stranger_gets_404_everywhere(client: Client, stranger: User, testbed: Testbed):
    client.force_login(stranger)

    answers = {path: getattr(client, how)(path) for how, path in paths_of(testbed)}

    assert {answer.status_code for answer in answers.values()} == {404}
    assert testbed.project.yaml.read_text() == YAML
    assert not Run.objects.exists()


def test_anonymous_is_sent_to_sign_in(client: Client, testbed: Testbed):
    paths = [*paths_of(testbed), ("get", "/"), ("get", "/hosts/")]
    paths += [("post", "/testbeds/new/"), ("get", "/testbeds/new/name/?slug=lab")]

    answers = [getattr(client, how)(path) for how, path in paths]

    assert {answer.status_code for answer in answers} == {302}
    assert all(answer["Location"].startswith("/login/?next=/") for answer in answers)


@pytest.mark.parametrize("persona", ["owner", "admin"])
def test_owner_and_admin_see_the_testbed(
    client: Client, testbed: Testbed, persona: str, request: pytest.FixtureRequest
):
    client.force_login(request.getfixturevalue(persona))

    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    paths = [path for how, path in paths_of(testbed) if how == "get"]
    answers = [client.get(path, follow=True) for path in paths]

    assert {answer.status_code for answer in answers} == {200}


def test_list_shows_own_testbeds_only(
    client: Client, owner: User, stranger: User, admin: User, testbed: Testbed
):
    Testbed.objects.create(owner=stranger, slug="secret", number=1)

    seen = {}
    for user in (owner, admin):
        client.force_login(user)
        seen[user.username] = client.get("/").content.decode()

    assert "secret" not in seen["olive"]
    assert "Owner" not in seen["olive"]
    assert "secret" in seen["ada"]
    assert "sam" in seen["ada"]


def test_empty_list_offers_the_examples(browser: Client):
    page = browser.get("/").content.decode()

    assert "No testbeds yet" in page
    assert "Create from quickstart" in page


def test_every_example_is_offered_as_a_start(browser: Client, testbed: Testbed):
    page = browser.get("/testbeds/new/").content.decode()

    for folder in sorted(settings.EXAMPLES_DIR.iterdir()):
        assert f">Create from {folder.name}</button>" in page
    assert "3 logical switches" in page
    assert 'bring up guest web (<code class="key">docker</code>)' in page


@pytest.mark.parametrize("count", [1, 50])
def test_list_takes_the_same_queries_for_any_number(
    browser: Client, owner: User, django_assert_num_queries, count: int
):
    now = timezone.now()
    for number in range(count):
        testbed = Testbed.objects.create(owner=owner, slug=f"t{number}", number=number)
        Run.objects.create(testbed=testbed, command="up", plan={}, asked_by=owner)
        ObservedGuest.objects.bulk_create(
            ObservedGuest(
                testbed=testbed,
                name=f"g{guest}",
                host=f"host-{guest}",
                status="running" if guest else "shutoff",
                observed_at=now,
            )
            for guest in range(3)
        )

    with django_assert_num_queries(5):
        page = browser.get("/").content.decode()

    assert page.count("host-0, host-1, host-2") == count
    assert page.count('2<span class="quiet"> / 3</span>') == count


def test_poll_gets_the_table_only(browser: Client, testbed: Testbed):
    page = browser.get("/", headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in page
    assert 'id="testbed-lab"' in page


def test_page_says_what_is_not_generated(browser: Client, testbed: Testbed):
    page = browser.get("/testbeds/lab/").content.decode()

    assert "Nothing is generated yet." in page
    assert "Nothing was generated, so nothing is up" in page


def test_page_shows_guests_as_planned_and_as_observed(
    browser: Client, generated: Testbed
):
    ObservedGuest.objects.create(
        testbed=generated,
        name="web",
        host="main",
        status="crashed",
        observed_at=timezone.now(),
    )

    page = browser.get("/testbeds/lab/").content.decode()

    state = generated.project.read_state()
    assert state.guest("web").interfaces[0].address in page
    assert "crashed" in page
    assert "not observed" in page
    assert "0 of 2 guests up" in page
    assert '<svg class="net' in page


def test_edited_yaml_is_said(browser: Client, generated: Testbed):
    before = browser.get("/testbeds/lab/").content.decode()
    generated.project.yaml.write_text(YAML + "\n# more\n")

    after = browser.get("/testbeds/lab/").content.decode()

    assert "The YAML was edited" not in before
    assert "The YAML was edited since this was generated." in after
    assert "not deployed yet" not in before
    assert "not deployed yet" in after


def test_findings_are_shown_with_their_lines(browser: Client, testbed: Testbed):
    testbed.project.yaml.write_text(BROKEN)

    page = browser.get("/testbeds/lab/").content.decode()

    assert '<a href="#L3">line 3</a>' in page
    assert 'id="L3" class="code--error"' in page
    assert "Up will refuse it" in page


def test_broken_state_is_said_and_the_page_still_works(
    browser: Client, testbed: Testbed
):
    testbed.project.state_file.write_text("{")

    answer = browser.get("/testbeds/lab/")

    assert answer.status_code == 200
    assert "state.json of this testbed cannot be read" in answer.content.decode()


def test_buttons_are_off_while_a_run_is_on(
    browser: Client, generated: Testbed, owner: User
):
    run = Run.objects.create(testbed=generated, command="up", plan={}, asked_by=owner)

    page = browser.get("/testbeds/lab/").content.decode()

    assert page.count('disabled aria-describedby="busy"') == 4
    assert f'<a href="/runs/{run.pk}/">watch it</a>' in page


def test_long_list_of_guests_is_paged(browser: Client, testbed: Testbed):
    machines = "".join(
        f"  - name: g{number}\n    interfaces: [{{bridge: lan}}]\n"
        "    libvirt: {cpus: 1, memory_mb: 64, "
        "libvirt_type: {cloud_image: {name: cirros_0_6_2}}}\n"
        for number in range(60)
    )
    network = "network: {bridges: [{name: lan}], external_bridge: lan}\n"
    testbed.project.yaml.write_text(f"machines:\n{machines}{network}")
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    first = browser.get("/testbeds/lab/").content.decode()
    second = browser.get("/testbeds/lab/guests/?page=2").content.decode()

    assert ('id="guest-g49"' in first, 'id="guest-g50"' in first) == (True, False)
    assert 'id="guest-g50"' in second
    assert "51\N{EN DASH}60 of 60" in second


def test_files_are_added_shown_and_removed(browser: Client, testbed: Testbed):
    script = SimpleUploadedFile("setup.sh", b"<script>alert(1)</script>\n")
    binary = SimpleUploadedFile("tool", b"\x7fELF\0\xff")

    browser.post("/testbeds/lab/files/", {"uploads": [script, binary]})
    shown = browser.get("/testbeds/lab/files/setup.sh")
    saved = browser.get("/testbeds/lab/files/setup.sh?download")
    tool = browser.get("/testbeds/lab/files/tool")
    for path in ("setup.sh", "tool"):
        browser.post("/testbeds/lab/files/remove/", {"path": path})

    assert tool["Content-Disposition"] == 'attachment; filename="tool"'
    assert tool["Content-Type"] == "application/octet-stream"
    assert shown["Content-Type"] == "text/plain; charset=utf-8"
    assert shown["X-Content-Type-Options"] == "nosniff"
    assert saved["Content-Disposition"] == 'attachment; filename="setup.sh"'
    assert list(list_files(testbed)) == ["kvm-compose.yaml"]


@pytest.mark.parametrize(
    "path", ["../state.json", "../keys/id_ed25519", "%2e%2e/state.json", "nothing"]
)
def test_nothing_beside_the_files_is_shown(
    browser: Client, generated: Testbed, path: str
):
    assert browser.get(f"/testbeds/lab/files/{path}").status_code == 404


def test_upload_that_is_refused_changes_nothing(browser: Client, testbed: Testbed):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    upload = SimpleUploadedFile("x.tar", buffer.getvalue())

    page = browser.post("/testbeds/lab/files/", {"archive": upload}, follow=True)

    assert "leaves the testbed&#x27;s folder" in page.content.decode()
    assert list(list_files(testbed)) == ["kvm-compose.yaml"]


def test_delete_asks_and_then_deletes(browser: Client, testbed: Testbed):
    asked = browser.get("/testbeds/lab/delete/").content.decode()
    answer = browser.post("/testbeds/lab/delete/")

    assert "cannot be undone" in asked
    assert answer["Location"] == "/"
    assert not Testbed.objects.exists()


def test_deployed_testbed_says_why_it_stays(browser: Client, testbed: Testbed):
    Testbed.objects.update(condition="up")

    answer = browser.post("/testbeds/lab/delete/")

    assert answer.status_code == 409
    assert "Take it down first." in answer.content.decode()
    assert Testbed.objects.exists()


def test_hosts_are_shown_to_everyone_and_edited_by_admins(
    client: Client, owner: User, admin: User, hosts: tuple[Host, Host]
):
    Host.objects.filter(name="host-b").update(
        problem="Host host-b did not answer.", checked_at=timezone.now()
    )

    pages = {}
    for user in (owner, admin):
        client.force_login(user)
        pages[user.username] = client.get("/hosts/").content.decode()

    assert "Host host-b did not answer." in pages["olive"]
    assert "Edit in the admin" not in pages["olive"]
    assert "Edit in the admin" in pages["ada"]


def test_missing_page_says_what_next(browser: Client):
    answer = browser.get("/nothing/")

    assert answer.status_code == 404
    assert "belongs to somebody else" in answer.content.decode()


def test_pages_hold_no_inline_code(browser: Client, generated: Testbed):
    pages = [browser.get(path) for path in PAGES]

    for page in pages:
        text = page.content.decode()
        assert " style=" not in text
        assert " onclick=" not in text
        assert "<script>" not in text
        assert "unsafe" not in page["Content-Security-Policy"]


def test_expired_form_says_what_to_do(owner: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)

    answer = browser.post("/testbeds/new/", {"slug": "lab"})

    assert answer.status_code == 403
    assert "load the page again" in answer.content.decode()


def test_password_is_changed(browser: Client, owner: User):
    words = {"new_password1": "quiet-river-81", "new_password2": "quiet-river-81"}

    wrong = browser.post("/password/", {"old_password": "no", **words})
    right = browser.post("/password/", {"old_password": "olive-pass", **words})

    assert wrong.status_code == 200
    assert right["Location"] == "/"
    owner.refresh_from_db()
    assert owner.check_password("quiet-river-81")
