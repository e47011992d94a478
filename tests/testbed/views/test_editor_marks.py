"""Marks of the editor: findings at their lines, a run that is on, generated scripts.

A text is checked while it is typed, beside the files that the testbed has.
"""

import re

from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.models import Run, Testbed
from tests.testbed.conftest import YAML
from tests.testbed.preparing import prepare
from tests.testbed.views.editor_page import EDIT, load

BROKEN = YAML.replace("cpus: 1", "cpus: two", 1)


def test_findings_are_at_their_lines(browser: Client, testbed: Testbed):
    testbed.project.yaml.write_text(BROKEN)

    page = browser.get(EDIT).content.decode()

    assert page.count('<li class="editor__line--error">') == 1
    assert 'href="#editor-text" data-line="5"' in page
    before = page.partition('class="editor__line--error"')[0].rpartition("<ol")[2]
    assert before.count("<li>") == 4


def test_styles_of_codemirror_are_allowed_on_no_other_page(
    browser: Client, testbed: Testbed
):
    policy = "Content-Security-Policy"

    editor = browser.get(EDIT)
    other = browser.get("/testbeds/olive/lab/")

    nonce = re.search(r'data-nonce="([^"]+)"', editor.content.decode())
    assert nonce
    assert f"style-src 'self' 'nonce-{nonce[1]}'" in editor[policy]
    assert "nonce" not in other[policy]


def test_typing_is_checked_beside_the_testbeds_files(browser: Client, testbed: Testbed):
    testbed.project.file("a.sh").write_text("#!/bin/sh\necho\n")
    script = YAML.replace(
        "cloud_image: {name: ubuntu_22_04}",
        "cloud_image: {name: ubuntu_22_04, setup_script: a.sh}",
    )

    wrong = browser.post(
        "/testbeds/olive/lab/check/", {"text": BROKEN}
    ).content.decode()
    there = browser.post(
        "/testbeds/olive/lab/check/", {"text": script}
    ).content.decode()
    testbed.project.file("a.sh").unlink()
    gone = browser.post("/testbeds/olive/lab/check/", {"text": script}).content.decode()

    assert 'data-line="5"' in wrong
    assert 'data-severity="error"' in wrong
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
    used = "cloud_image: {name: ubuntu_22_04, setup_script: ./a.sh}"
    text = YAML.replace("cloud_image: {name: ubuntu_22_04}", used, 1)
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
