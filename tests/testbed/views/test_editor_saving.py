"""Text typed in the editor is saved byte for byte, or nothing is and the page says why.

New files, other names and other places, too: each file has one address, and nothing
outside the testbed's files is shown or written.
"""

from hashlib import sha256

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.models import Testbed
from testbed.testbeds.stored_files import UNCOUNTED, digesting, list_files
from tests.testbed.conftest import YAML
from tests.testbed.preparing import prepare
from tests.testbed.views.editor_page import EDIT, load, save, shown


@pytest.mark.parametrize(
    "content",
    [
        b"#!/bin/sh\necho a\n",
        b"#!/bin/sh\r\necho a\r\n",
        b"echo a",
        b"\xef\xbb\xbfecho \xc3\xa9\r\n",
        b"\n\n<textarea>&amp;</textarea>\n\n",
        b"one\r\ntwo\nthree\n",
        b"",
    ],
)
def test_save_keeps_every_byte(browser: Client, testbed: Testbed, content: bytes):
    file = testbed.project.file("setup.sh")
    file.write_bytes(content)

    text, seen = load(browser, f"{EDIT}setup.sh")
    answer = save(browser, f"{EDIT}setup.sh", text, seen)

    assert answer["Location"] == f"{EDIT}setup.sh"
    assert file.read_bytes() == content


def test_yaml_is_saved_with_its_line_ends(browser: Client, testbed: Testbed):
    testbed.project.yaml.write_bytes(YAML.replace("\n", "\r\n").encode())

    text, seen = load(browser, EDIT)
    answer = save(browser, EDIT, f"# mine\n{text}", seen)

    assert answer["Location"] == EDIT
    wanted = f"# mine\n{YAML}".replace("\n", "\r\n").encode()
    assert testbed.project.yaml.read_bytes() == wanted


def test_binary_file_is_not_edited(browser: Client, testbed: Testbed):
    content = b"\x7fELF\0"
    testbed.project.file("tool").write_bytes(content)

    page = browser.get(f"{EDIT}tool").content.decode()
    answer = save(browser, f"{EDIT}tool", "text", sha256(content).hexdigest())

    assert "This cannot be edited here." in page
    assert "editor__text" not in page
    assert answer.status_code == 409
    assert testbed.project.file("tool").read_bytes() == content


def test_new_file_is_written_at_its_first_save(browser: Client, testbed: Testbed):
    begun = browser.get("/testbeds/olive/lab/files/new/?path=scripts/a.sh")
    files_then = set(list_files(testbed))
    text, seen = load(browser, begun["Location"])
    answer = save(browser, f"{EDIT}scripts/a.sh", "echo\n", seen)

    assert (text, seen) == ("", "")
    assert files_then == {"kvm-compose.yaml"}
    assert answer.status_code == 302
    assert testbed.project.file("scripts/a.sh").read_bytes() == b"echo\n"


@pytest.mark.parametrize(
    "path",
    [
        "kvm-compose.yaml",
        "../a",
        "/etc/passwd",
        "",
        "kvm-compose.yaml/a",
        "empty-folder",
        "a\nb",
    ],
)
def test_new_file_needs_a_free_path_inside(
    browser: Client, testbed: Testbed, path: str
):
    testbed.project.file("empty-folder").mkdir()
    testbed.project.file("old.sh").write_text("old")

    answer = browser.get("/testbeds/olive/lab/files/new/", {"path": path})
    renamed = browser.post(
        "/testbeds/olive/lab/files/rename/", {"path": "old.sh", "new": path}
    )

    assert answer["Location"] == "/testbeds/olive/lab/"
    assert renamed["Location"] == "/testbeds/olive/lab/"
    assert list(list_files(testbed)) == ["kvm-compose.yaml", "old.sh"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "The path of the file is missing."),
        ({"path": " ./ "}, "The path of the file is missing."),
        ({"path": "a\nb"}, "has control characters."),
        ({"path": "../b"}, "leaves the testbed&#x27;s folder."),
    ],
)
def test_path_that_is_refused_is_said_to_be_so(
    browser: Client, testbed: Testbed, query: dict[str, str], said: str
):
    page = browser.get("/testbeds/olive/lab/files/new/", query, follow=True)

    assert said in page.content.decode()


def test_yaml_keeps_its_name(browser: Client, testbed: Testbed):
    url = "/testbeds/olive/lab/files/rename/"
    page = browser.post(url, {"path": "kvm-compose.yaml", "new": "b"}, follow=True)

    assert "keeps its name" in page.content.decode()
    assert list(list_files(testbed)) == ["kvm-compose.yaml"]


@pytest.mark.parametrize("path", ["./kvm-compose.yaml", "a//b.sh"])
def test_file_has_one_address_only(browser: Client, testbed: Testbed, path: str):
    testbed.project.file("a").mkdir()
    testbed.project.file("a/b.sh").write_text("kept")

    shown_at = browser.get(f"{EDIT}{path}?new")
    saved = browser.post(f"{EDIT}{path}", {"text": "x", "seen": ""})

    assert [shown_at.status_code, saved.status_code] == [404, 404]
    assert testbed.project.file("a/b.sh").read_text() == "kept"
    assert testbed.project.yaml.read_text() == YAML


def test_empty_yaml_is_saved_and_said_to_be_empty(browser: Client, testbed: Testbed):
    _, seen = load(browser, EDIT)

    page = browser.post(EDIT, {"text": "", "seen": seen}, follow=True)

    assert testbed.project.yaml.read_bytes() == b""
    assert 'data-said="1 error"' in page.content.decode()


def test_file_is_renamed_but_not_over_another(browser: Client, testbed: Testbed):
    for name in ("a.sh", "b.sh"):
        testbed.project.file(name).write_text(name)

    url = "/testbeds/olive/lab/files/rename/"
    good = browser.post(url, {"path": "a.sh", "new": "scripts/a.sh"})
    for new in ("b.sh", "../a.sh", "kvm-compose.yaml"):
        browser.post(url, {"path": "scripts/a.sh", "new": new})

    assert good["Location"] == f"{EDIT}scripts/a.sh"
    assert set(list_files(testbed)) == {"kvm-compose.yaml", "b.sh", "scripts/a.sh"}
    assert testbed.project.file("b.sh").read_text() == "b.sh"


@pytest.mark.parametrize(
    "path", ["../state.json", "%2e%2e/state.json", "../keys/id_ed25519", "nothing.sh"]
)
def test_nothing_outside_is_shown_or_written(
    browser: Client, testbed: Testbed, path: str
):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    key = testbed.project.identity_file
    kept = key.read_bytes(), testbed.project.state_file.read_bytes()

    answer = browser.get(f"{EDIT}{path}")
    browser.post(f"{EDIT}{path}", {"text": "x", "seen": sha256(kept[0]).hexdigest()})

    assert answer.status_code == 404
    assert (key.read_bytes(), testbed.project.state_file.read_bytes()) == kept


def test_link_out_of_the_folder_is_not_followed(browser: Client, testbed: Testbed):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    testbed.project.file("link").symlink_to(testbed.project.identity_file)

    answer = browser.get(f"{EDIT}link")

    assert answer.status_code == 404


def test_nul_and_too_much_are_refused_with_the_text_kept(
    browser: Client, testbed: Testbed
):
    _, seen = load(browser, EDIT)

    nul = browser.post(EDIT, {"text": "a\0b", "seen": seen})
    much = browser.post(EDIT, {"text": "typed" * 200_000, "seen": seen})

    assert [nul.status_code, much.status_code] == [422, 422]
    assert "nothing was saved" in much.content.decode()
    assert shown(much.content.decode())[0] == "typed" * 200_000
    assert testbed.project.yaml.read_text() == YAML


def test_large_file_waits_while_the_users_others_are_digested(
    browser: Client, owner: User, testbed: Testbed
):
    with testbed.project.file("a.img").open("wb") as file:
        file.truncate(UNCOUNTED + 1)
    large = UNCOUNTED + 1

    with digesting(owner, large), digesting(owner, large):
        answer = browser.get(f"{EDIT}a.img")

    assert answer.status_code == 429
    assert "requests are reading whole files" in answer.content.decode()
