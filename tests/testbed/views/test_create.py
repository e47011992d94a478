"""A testbed is created from text, files, a folder, an archive or an example."""

import io
import json
import zipfile
from ipaddress import IPv4Network

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from orchestration.compose.pools import Pools
from testbed.models import Testbed
from testbed.testbeds.findings import findings_of_upload
from testbed.testbeds.stored_files import list_files
from tests.testbed.conftest import YAML
from tests.testbed.reading import visible

BROKEN = YAML.replace("memory_mb: 256", "memory_mb: lots", 1)


@pytest.fixture(autouse=True)
def browser(client: Client, owner: User, settings, tmp_path) -> Client:
    """The owner's browser."""
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    client.force_login(owner)
    return client


def upload(name: str, content: bytes | str) -> SimpleUploadedFile:
    return SimpleUploadedFile(
        name, content.encode() if isinstance(content, str) else content
    )


def files_of(slug: str) -> list[str]:
    return list(list_files(Testbed.objects.get(name=slug)))


def test_from_text(browser: Client, owner: User):
    text = YAML.replace("\n", "\r\n")

    answer = browser.post("/testbeds/new/", {"slug": "lab", "yaml": text})

    assert answer["Location"] == "/testbeds/olive/lab/"
    testbed = Testbed.objects.get(name="lab")
    assert testbed.owner == owner
    assert testbed.project.yaml.read_text() == YAML


def test_from_text_with_scripts(browser: Client):
    text = YAML.replace(
        "cloud_image: {name: ubuntu_22_04}",
        "cloud_image: {name: ubuntu_22_04, setup_script: a.sh}",
    )

    browser.post(
        "/testbeds/new/",
        {"slug": "lab", "yaml": text, "uploads": [upload("a.sh", "#!/bin/sh\n")]},
    )

    assert files_of("lab") == ["kvm-compose.yaml", "a.sh"]


def test_from_several_files(browser: Client):
    chosen = [upload("kvm-compose.yaml", YAML), upload("a.sh", "echo")]

    browser.post("/testbeds/new/", {"slug": "lab", "uploads": chosen})

    assert files_of("lab") == ["kvm-compose.yaml", "a.sh"]


def test_from_a_folder_with_its_paths(browser: Client):
    chosen = [upload("kvm-compose.yaml", YAML), upload("a.sh", "echo")]
    paths = ["lab/kvm-compose.yaml", "lab/scripts/a.sh"]

    browser.post(
        "/testbeds/new/",
        {"slug": "lab", "folder": chosen, "folder_paths": json.dumps(paths)},
    )

    assert files_of("lab") == ["kvm-compose.yaml", "scripts/a.sh"]


def test_folder_arrives_without_what_a_desktop_added(browser: Client):
    chosen = [upload("kvm-compose.yaml", YAML), upload(".DS_Store", "x")]

    browser.post(
        "/testbeds/new/",
        {
            "slug": "lab",
            "folder": chosen,
            "folder_paths": json.dumps(["lab/kvm-compose.yaml", "lab/.DS_Store"]),
        },
    )

    assert files_of("lab") == ["kvm-compose.yaml"]


def test_from_an_archive(browser: Client):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("lab/kvm-compose.yaml", YAML)
        archive.writestr("lab/scripts/a.sh", "echo")

    browser.post(
        "/testbeds/new/", {"slug": "lab", "archive": upload("l.zip", buffer.getvalue())}
    )

    assert files_of("lab") == ["kvm-compose.yaml", "scripts/a.sh"]


def test_from_an_example_twice(browser: Client):
    first = browser.post("/testbeds/new/", {"example": "single"})
    second = browser.post("/testbeds/new/", {"example": "single"})

    assert first["Location"] == "/testbeds/olive/single/"
    assert second["Location"] == "/testbeds/olive/single-2/"


@pytest.mark.usefixtures("as_postgresql")
def test_example_whose_name_no_database_stores_is_refused(browser: Client):
    answer = browser.post("/testbeds/new/", {"example": "no\0thing"})

    assert answer.status_code == 422


def test_unknown_example_is_said(browser: Client):
    answer = browser.post("/testbeds/new/", {"example": "nothing"})

    assert answer.status_code == 422
    assert "There is no example" in answer.content.decode()
    assert not Testbed.objects.exists()


@pytest.mark.parametrize("way", ["yaml", "uploads"])
def test_yaml_with_errors_is_created_alike_however_it_came(browser: Client, way: str):
    yaml = {"yaml": BROKEN, "uploads": [upload("kvm-compose.yaml", BROKEN)]}[way]

    answer = browser.post("/testbeds/new/", {"slug": "lab", way: yaml})

    page = browser.get(answer["Location"]).content.decode()
    assert "1 error: Up will refuse it" in page


def test_broken_upload_is_created_so_that_no_file_is_lost(browser: Client):
    chosen = [upload("kvm-compose.yaml", BROKEN), upload("a.sh", "echo")]

    answer = browser.post("/testbeds/new/", {"slug": "lab", "uploads": chosen})

    page = browser.get(answer["Location"]).content.decode()
    assert "1 error: Up will refuse it" in page


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("", "Give the testbed a name."),
        ("Lab", "Use lower-case letters"),
        ("-lab", "Use lower-case letters"),
        ("lab-", "Use lower-case letters"),
        ("lab\n", None),
        ("läb", "Use lower-case letters"),
        ("a" * 41, "at most 40 characters"),
        ("new", "an address of the web"),
        ("taken", "already a testbed taken of olive"),
    ],
)
def test_name_is_checked(browser: Client, owner: User, slug: str, said: str | None):
    Testbed.objects.create(owner=owner, slug="taken", number=9)

    answer = browser.post("/testbeds/new/", {"slug": slug, "yaml": YAML})
    typed = browser.get("/testbeds/new/name/", {"slug": slug}).content.decode()

    if said is None:
        assert Testbed.objects.filter(name=slug.strip()).exists()
        return
    assert said in answer.content.decode()
    assert said in typed or not slug
    assert Testbed.objects.count() == 1


def test_free_name_is_said_while_it_is_typed(browser: Client):
    page = browser.get("/testbeds/new/name/?slug=lab").content.decode()

    assert "lab is free" in page


def test_yaml_is_checked_while_it_is_typed(browser: Client):
    wrong = browser.post("/testbeds/new/yaml/", {"yaml": BROKEN}).content.decode()
    fine = browser.post("/testbeds/new/yaml/", {"yaml": YAML}).content.decode()

    assert "line 6" in wrong
    assert "No problems" in fine


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("evil.zip", b"PK\x03\x04", "not an archive that can be read"),
        ("lab.rar", b"Rar!", "Use one of .zip"),
    ],
)
def test_bad_archive_is_said_at_its_field(
    browser: Client, name: str, content: bytes, said: str
):
    answer = browser.post(
        "/testbeds/new/", {"slug": "lab", "archive": upload(name, content)}
    )

    assert said in answer.content.decode()
    assert not Testbed.objects.exists()


def test_paths_that_nest_too_deeply_are_refused(browser: Client):
    answer = browser.post(
        "/testbeds/new/",
        {"slug": "lab", "folder": upload("a.sh", b"x"), "folder_paths": "[" * 50_000},
    )

    assert "did not send the paths" in answer.content.decode()


def test_nothing_at_all_is_said(browser: Client):
    answer = browser.post("/testbeds/new/", {"slug": "lab"})

    assert "Paste a kvm-compose.yaml, or upload one." in answer.content.decode()


def test_more_files_than_allowed_are_refused_and_what_was_typed_stays(browser: Client):
    chosen = [upload(f"f{number}", b"x") for number in range(501)]

    answer = browser.post(
        "/testbeds/new/", {"slug": "lab", "yaml": YAML, "uploads": chosen}
    )

    page = visible(answer.content.decode())
    assert answer.status_code == 422
    assert "These are 501 files; send at most 500." in page
    assert "memory_mb: 256" in page
    assert not Testbed.objects.exists()


def test_far_too_many_files_are_refused_with_a_page_of_ours(
    browser: Client, settings: object
):
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
    chosen = [upload(f"f{number}", b"x") for number in range(3)]

    answer = browser.post("/testbeds/new/", {"slug": "lab", "uploads": chosen})

    assert answer.status_code == 400
    assert "Send at most 500, or an archive." in visible(answer.content.decode())


def test_folder_and_archive_together_are_refused(browser: Client):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("kvm-compose.yaml", YAML)

    answer = browser.post(
        "/testbeds/new/",
        {
            "slug": "lab",
            "folder": [upload("a.sh", "echo")],
            "folder_paths": json.dumps(["lab/a.sh"]),
            "archive": upload("lab.zip", content.getvalue()),
        },
    )

    assert "A folder and an archive were chosen." in answer.content.decode()
    assert not Testbed.objects.exists()


def test_folder_whose_paths_were_not_sent_is_refused(browser: Client):
    chosen = [upload("kvm-compose.yaml", YAML), upload("a.sh", "echo")]

    answer = browser.post("/testbeds/new/", {"slug": "lab", "folder": chosen})

    assert "That needs JavaScript." in answer.content.decode()
    assert not Testbed.objects.exists()


def test_example_takes_the_name_that_was_typed(browser: Client):
    answer = browser.post("/testbeds/new/", {"slug": "mine", "example": "quickstart"})

    assert answer["Location"] == "/testbeds/olive/mine/"


def test_fixed_address_is_judged_by_the_pools_of_the_installation(
    settings: object, owner: User
):
    settings.ADDRESS_POOLS = Pools(management=IPv4Network("198.18.0.0/15"))
    yaml = YAML.replace("{bridge: lan}", "{bridge: lan, ip: 198.18.0.5}", 1)

    findings = findings_of_upload({"kvm-compose.yaml": yaml.encode()}, owner)

    assert any("management networks, 198.18.0.0/15" in f.message for f in findings)
