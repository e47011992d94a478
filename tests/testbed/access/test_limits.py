"""A user's testbeds and files are limited, and an admin may raise the limits."""

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from testbed.access.limits import limits_of
from testbed.models import Allowance, Testbed
from testbed.testbeds.files import create_testbed
from testbed.testbeds.stored_files import list_files
from tests.testbed.conftest import YAML

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def limits(settings: object, tmp_path: object) -> None:
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    settings.USER_LIMITS = {
        "testbeds": 2,
        "guests": 2,
        "vcpus": 2,
        "memory_gib": 1,
        "runs": 2,
        "sockets": 2,
        "testbed_mib": 1,
        "user_mib": 2,
        "testbed_disk_gib": 1,
        "user_disk_gib": 1,
        "testbed_log_mib": 1,
        "user_log_mib": 1,
    }


def made(owner: User, slug: str, **files: bytes) -> Testbed:
    return create_testbed(owner, slug, {"kvm-compose.yaml": YAML.encode(), **files})


def send(browser: Client, slug: str, name: str, size: int):
    upload = SimpleUploadedFile(name, bytes(size))
    return browser.post(f"/testbeds/{slug}/files/", {"uploads": [upload]})


def test_page_says_the_limit_of_testbeds_and_what_to_do(browser: Client, owner: User):
    made(owner, "one")
    made(owner, "two")

    page = browser.post("/testbeds/new/", {"slug": "three", "yaml": YAML})

    assert page.status_code == 422
    text = page.content.decode()
    assert "olive has 2 testbeds; allowed: 2." in text
    assert "ask your lab&#x27;s admin for more" in text
    assert not Testbed.objects.filter(slug="three").exists()


def test_old_files_count(browser: Client, owner: User):
    testbed = made(owner, "lab")
    first = send(browser, "lab", "a", MIB // 2)

    second = send(browser, "lab", "b", MIB // 2)

    assert (first.status_code, second.status_code) == (302, 422)
    assert "1.0 MiB are allowed" in second.content.decode()
    assert list(list_files(testbed)) == ["kvm-compose.yaml", "a"]


def test_files_of_all_testbeds_count(browser: Client, owner: User, settings):
    settings.USER_LIMITS["testbeds"] = 9
    large = bytes(9 * MIB // 10)
    made(owner, "one", a=large)
    made(owner, "two", a=large)
    made(owner, "three")

    page = send(browser, "three", "a", MIB // 2)

    assert page.status_code == 422
    assert "all testbeds of olive" in page.content.decode()


def test_file_is_replaced_by_a_smaller_one_above_the_limit(
    browser: Client, owner: User, settings
):
    testbed = made(owner, "lab", a=bytes(MIB // 2))
    settings.USER_LIMITS["testbed_mib"] = 0

    answer = send(browser, "lab", "a", 100)

    assert answer.status_code == 302
    assert list_files(testbed)["a"] == 100


def test_text_above_the_limit_is_not_saved(browser: Client, owner: User, settings):
    made(owner, "lab")
    settings.USER_LIMITS["testbed_mib"] = 0

    page = browser.post(
        "/testbeds/olive/lab/edit/a.sh?new", {"text": "echo\n", "seen": ""}
    )

    assert page.status_code == 422
    assert "0 B are allowed" in page.content.decode()


def test_files_of_an_admins_upload_are_the_owners(page: Client, owner: User):
    made(owner, "lab")
    send(page, "lab", "a", MIB // 2)

    refused = send(page, "lab", "b", MIB // 2)

    assert refused.status_code == 422


def test_admin_raises_one_users_limits(page: Client, owner: User, stranger: User):
    values = {"user": owner.pk, "testbeds": 7, "testbed_mib": 0}

    page.post("/admin/testbed/allowance/add/", values)

    assert Allowance.objects.get().user == owner
    own = limits_of(owner)
    assert (own.testbeds, own.sockets, own.testbed_mib) == (7, 2, 0)
    assert limits_of(stranger).testbeds == 2
