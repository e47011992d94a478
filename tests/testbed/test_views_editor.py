"""The editor: what is typed is saved byte for byte, or nothing is and it says why."""

import html
import re
from hashlib import sha256

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.instructions.base import Command, Options
from testbed.models import Run, Testbed
from testbed.services.planning import prepare
from testbed.services.testbeds import list_files
from tests.testbed.conftest import YAML

EDIT = "/testbeds/lab/edit/"
BROKEN = YAML.replace("cpus: 1", "cpus: two", 1)


def shown(page: str) -> tuple[str, str]:
    """What a browser finds in the form: the text, and the digest of what it was."""
    field = re.search(
        r'<textarea class="editor__text"[^>]*>\n(.*?)</textarea>', page, re.S
    )
    digest = re.search(r'name="seen" value="([^"]*)"', page)
    assert field
    assert digest
    return html.unescape(field[1]), digest[1]


def load(browser: Client, path: str) -> tuple[str, str]:
    return shown(browser.get(path).content.decode())


def save(browser: Client, path: str, text: str, seen: str):
    return browser.post(path, {"text": text.replace("\n", "\r\n"), "seen": seen})


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


def test_conflict_keeps_both_texts_and_can_be_settled(
    browser: Client, testbed: Testbed
):
    text, seen = load(browser, EDIT)
    testbed.project.yaml.write_text("# theirs\n")

    answer = save(browser, EDIT, f"{text}# mine\n", seen)
    page = answer.content.decode()
    mine, now = shown(page)

    assert answer.status_code == 409
    assert testbed.project.yaml.read_text() == "# theirs\n"
    assert mine == f"{text}# mine\n"
    assert "# theirs" in page
    assert "was changed by somebody else" in page
    assert save(browser, EDIT, mine, now).status_code == 302
    assert testbed.project.yaml.read_text() == f"{YAML}# mine\n"


def test_conflict_shows_where_both_texts_differ(browser: Client, testbed: Testbed):
    text, seen = load(browser, EDIT)
    testbed.project.yaml.write_text(YAML.replace("cpus: 1", "cpus: 3", 1))

    page = save(browser, EDIT, f"# mine\n{text}", seen).content.decode()

    assert page.count('class="compare__difference"') == 2
    assert "<span># mine</span></ins>" in page
    assert "<span>      cpus: 3</span></del>" in page
    assert "<span>      cpus: 1</span></ins>" in page
    assert page.index("# mine</span>") < page.index("cpus: 3</span>")


def choose(browser: Client, page: str, number: int, **changes: str) -> str:
    """Press the button at one difference of a conflict page."""
    text, seen = shown(page)
    compared = re.search(r'name="compared" value="([0-9a-f]+)"', page)
    assert compared
    assert f'formaction="{EDIT}#conflict" name="take" value="{number}"' in page
    typed = {"text": text, "seen": seen, "compared": compared[1], "take": number}
    return browser.post(EDIT, {**typed, **changes}).content.decode()


def test_saved_lines_are_taken_one_difference_at_a_time(
    browser: Client, testbed: Testbed
):
    text, seen = load(browser, EDIT)
    theirs = YAML.replace("cpus: 1", "cpus: 3", 1) + "# theirs\n"
    testbed.project.yaml.write_text(theirs)

    first = save(browser, EDIT, f"# mine\n{text}", seen).content.decode()
    second = choose(browser, first, 2)
    third = choose(browser, second, 2)
    same = choose(browser, third, 1)

    assert shown(second)[0] == "# mine\n" + theirs.removesuffix("# theirs\n")
    assert shown(third)[0] == f"# mine\n{theirs}"
    assert shown(same)[0] == theirs
    assert "There is no difference any more." in same
    assert testbed.project.yaml.read_text() == theirs
    mine, now = shown(third)
    assert save(browser, EDIT, mine, now).status_code == 302
    assert testbed.project.yaml.read_text() == f"# mine\n{theirs}"


@pytest.mark.parametrize("who", ["me", "them"])
def test_difference_is_not_taken_when_another_may_be_meant(
    browser: Client, testbed: Testbed, who: str
):
    text, seen = load(browser, EDIT)
    testbed.project.yaml.write_text(f"{YAML}# theirs\n")
    page = save(browser, EDIT, f"# mine\n{text}", seen).content.decode()

    if who == "me":
        page = choose(browser, page, 1, text=f"# mine\n# more\n{text}")
        wanted = f"# mine\n# more\n{text}"
    else:
        testbed.project.yaml.write_text(f"# also theirs\n{YAML}# theirs\n")
        page = choose(browser, page, 1)
        wanted = f"# mine\n{text}"

    assert shown(page)[0] == wanted
    assert 'name="take" value="1"' in page
    if who == "them":
        assert "# also theirs</span></del>" in page


def test_file_that_was_deleted_meanwhile_is_a_conflict(
    browser: Client, testbed: Testbed
):
    file = testbed.project.file("a.sh")
    file.write_text("echo\n")
    text, seen = load(browser, f"{EDIT}a.sh")
    file.unlink()

    answer = save(browser, f"{EDIT}a.sh", text, seen)

    assert answer.status_code == 409
    assert "was deleted by somebody else" in answer.content.decode()
    assert not file.exists()


def test_file_that_became_binary_is_not_replaced(browser: Client, testbed: Testbed):
    file = testbed.project.file("a.sh")
    file.write_text("echo\n")
    _, seen = load(browser, f"{EDIT}a.sh")
    file.write_bytes(b"\0\xff")

    answer = save(browser, f"{EDIT}a.sh", "echo mine\n", seen)

    assert answer.status_code == 409
    assert "echo mine" in answer.content.decode()
    assert file.read_bytes() == b"\0\xff"


def test_binary_file_is_not_edited(browser: Client, testbed: Testbed):
    content = b"\x7fELF\0"
    testbed.project.file("tool").write_bytes(content)

    page = browser.get(f"{EDIT}tool").content.decode()
    answer = save(browser, f"{EDIT}tool", "text", sha256(content).hexdigest())

    assert "This cannot be edited here." in page
    assert "editor__text" not in page
    assert answer.status_code == 409
    assert testbed.project.file("tool").read_bytes() == content


def test_findings_are_at_their_lines(browser: Client, testbed: Testbed):
    testbed.project.yaml.write_text(BROKEN)

    page = browser.get(EDIT).content.decode()

    assert page.count('<li class="editor__line--error">') == 1
    assert 'href="#editor-text" data-line="5"' in page
    before = page.partition('class="editor__line--error"')[0].rpartition("<ol")[2]
    assert before.count("<li>") == 4


def test_typing_is_checked_beside_the_testbeds_files(browser: Client, testbed: Testbed):
    testbed.project.file("a.sh").write_text("#!/bin/sh\necho\n")
    script = YAML.replace(
        "cloud_image: {name: cirros_0_6_2}",
        "cloud_image: {name: cirros_0_6_2, setup_script: a.sh}",
    )

    wrong = browser.post("/testbeds/lab/check/", {"text": BROKEN}).content.decode()
    there = browser.post("/testbeds/lab/check/", {"text": script}).content.decode()
    testbed.project.file("a.sh").unlink()
    gone = browser.post("/testbeds/lab/check/", {"text": script}).content.decode()

    assert 'data-line="5"' in wrong
    assert '<span class="hidden-text">error in line 5: </span>' in wrong
    assert 'data-said="1 error"' in wrong
    assert "a.sh" not in there
    assert "a.sh" in gone
    assert testbed.project.yaml.read_text() == YAML


def test_editing_goes_on_during_a_run_and_is_marked(
    browser: Client, testbed: Testbed, owner: User
):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    Run.objects.create(testbed=testbed, command="up", plan={}, asked_by=owner)

    text, seen = load(browser, EDIT)
    page = browser.post(
        EDIT, {"text": f"{text}# more\n", "seen": seen}, follow=True
    ).content.decode()

    assert testbed.project.yaml.read_text() == f"{YAML}# more\n"
    assert "not deployed yet: the next Up takes it" in page
    assert '<span class="tag tag--warn">not deployed yet</span>' in page


def test_script_is_marked_when_it_differs_from_the_generated_one(
    browser: Client, testbed: Testbed
):
    for name in ("a.sh", "b.sh"):
        testbed.project.file(name).write_text("#!/bin/sh\necho\n")
    used = "cloud_image: {name: cirros_0_6_2, setup_script: ./a.sh}"
    text = YAML.replace("cloud_image: {name: cirros_0_6_2}", used, 1)
    testbed.project.yaml.write_text(text)
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    before = browser.get(f"{EDIT}a.sh").content.decode()
    for name in ("a.sh", "b.sh"):
        testbed.project.file(name).write_text("#!/bin/sh\necho more\n")
    after = browser.get(f"{EDIT}a.sh").content.decode()
    unused = browser.get(f"{EDIT}b.sh").content.decode()

    found = ["not deployed yet" in page for page in (before, after, unused)]
    assert found == [False, True, False]


def test_script_of_a_golden_image_is_marked_too(browser: Client, testbed: Testbed):
    testbed.project.file("shared.sh").write_text("one\n")
    scaling = (
        "      scaling: {count: 1, shared_setup: shared.sh, "
        "interfaces: [{bridge: lan, clones: [0]}]}\n  - name: db\n"
    )
    testbed.project.yaml.write_text(YAML.replace("  - name: db\n", scaling))
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    before = browser.get(f"{EDIT}shared.sh").content.decode()
    testbed.project.file("shared.sh").write_text("two\n")
    after = browser.get(f"{EDIT}shared.sh").content.decode()

    assert ["not deployed yet" in page for page in (before, after)] == [False, True]


def test_new_file_is_written_at_its_first_save(browser: Client, testbed: Testbed):
    begun = browser.get("/testbeds/lab/files/new/?path=scripts/a.sh")
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

    answer = browser.get("/testbeds/lab/files/new/", {"path": path})
    renamed = browser.post(
        "/testbeds/lab/files/rename/", {"path": "old.sh", "new": path}
    )

    assert answer["Location"] == "/testbeds/lab/"
    assert renamed["Location"] == "/testbeds/lab/"
    assert list(list_files(testbed)) == ["kvm-compose.yaml", "old.sh"]


def test_yaml_keeps_its_name(browser: Client, testbed: Testbed):
    url = "/testbeds/lab/files/rename/"
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

    url = "/testbeds/lab/files/rename/"
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
