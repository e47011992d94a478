"""The files of a testbed are added and removed in the browser, and it is deleted.

Nothing beside them is shown, and what is refused changes nothing.
"""

import asyncio
import io
import tarfile
from collections import defaultdict
from weakref import WeakSet

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import StreamingHttpResponse
from django.test import Client

from testbed.models import Testbed
from testbed.pages import streaming
from testbed.pages.streaming import PIECE_BYTES
from testbed.testbeds.stored_files import list_files
from tests.testbed.confirming import answered
from tests.testbed.reading import visible


def test_files_are_added_shown_and_removed(browser: Client, testbed: Testbed):
    script = SimpleUploadedFile("setup.sh", b"<script>alert(1)</script>\n")
    binary = SimpleUploadedFile("tool", b"\x7fELF\0\xff")

    browser.post("/testbeds/olive/lab/files/", {"uploads": [script, binary]})
    shown = browser.get("/testbeds/olive/lab/files/setup.sh")
    saved = browser.get("/testbeds/olive/lab/files/setup.sh?download")
    tool = browser.get("/testbeds/olive/lab/files/tool")
    for path in ("setup.sh", "tool"):
        browser.post("/testbeds/olive/lab/files/remove/", {"path": path})

    assert tool["Content-Disposition"] == 'attachment; filename="tool"'
    assert tool["Content-Type"] == "application/octet-stream"
    assert shown["Content-Type"] == "text/plain; charset=utf-8"
    assert shown["X-Content-Type-Options"] == "nosniff"
    assert saved["Content-Disposition"] == 'attachment; filename="setup.sh"'
    assert list(list_files(testbed)) == ["kvm-compose.yaml"]


def test_large_file_is_sent_piece_by_piece_and_a_few_at_once(
    browser: Client, testbed: Testbed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streaming, "MOST_DOWNLOADS", 1)
    # Django's test client leaves the answers of other tests open.
    monkeypatch.setattr(streaming, "_sent", defaultdict(WeakSet))
    large = SimpleUploadedFile("large.log", b"line\n" * 200_000)
    browser.post("/testbeds/olive/lab/files/", {"uploads": [large]})

    sent = browser.get("/testbeds/olive/lab/files/large.log")
    refused = browser.get("/testbeds/olive/lab/files/large.log")
    pieces = asyncio.run(pieces_of(sent))

    assert max(map(len, pieces)) <= PIECE_BYTES
    assert b"".join(pieces) == b"line\n" * 200_000
    assert sent["Content-Disposition"] == 'attachment; filename="large.log"'
    assert refused.status_code == 429


async def pieces_of(answer: StreamingHttpResponse) -> list[bytes]:
    return [piece async for piece in answer.streaming_content]


@pytest.mark.parametrize(
    "path", ["../state.json", "../keys/id_ed25519", "%2e%2e/state.json", "nothing"]
)
def test_nothing_beside_the_files_is_shown(
    browser: Client, generated: Testbed, path: str
):
    assert browser.get(f"/testbeds/olive/lab/files/{path}").status_code == 404


def test_upload_that_is_refused_changes_nothing(browser: Client, testbed: Testbed):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    upload = SimpleUploadedFile("x.tar", buffer.getvalue())

    page = browser.post("/testbeds/olive/lab/files/", {"archive": upload}, follow=True)

    assert "leaves the testbed&#x27;s folder" in page.content.decode()
    assert list(list_files(testbed)) == ["kvm-compose.yaml"]


@pytest.mark.parametrize(
    "page", ["/testbeds/olive/lab/", "/testbeds/olive/lab/edit/a%26b%20c.sh"]
)
def test_trash_icon_leads_to_a_question_that_names_the_file(
    browser: Client, testbed: Testbed, page: str
):
    (testbed.project.files / "a&b c.sh").write_text("echo\n")
    question = "/testbeds/olive/lab/files/remove/?path=a%26b%20c.sh"

    shown = browser.get(page).content.decode()
    asked = browser.get(question).content.decode()

    assert f'href="{question}"' in shown
    assert 'action="/testbeds/olive/lab/files/remove/"' not in shown
    assert "Delete a&amp;b c.sh?" in asked
    assert "a&b c.sh (5 B) can be restored from the trash" in visible(asked)
    assert "a&b c.sh" in list_files(testbed)


def test_question_about_a_file_that_is_gone_says_so(browser: Client, testbed: Testbed):
    page = browser.get("/testbeds/olive/lab/files/remove/?path=gone.sh", follow=True)

    assert "There is no file gone.sh." in page.content.decode()


def test_delete_asks_and_then_deletes(browser: Client, testbed: Testbed):
    asked = browser.get("/testbeds/olive/lab/delete/")
    answer = answered(browser, asked)

    assert "kvm-compose.yaml" in visible(asked.content.decode())
    assert answer["Location"] == "/"
    assert not Testbed.objects.exists()


def test_deployed_testbed_says_why_it_stays(browser: Client, testbed: Testbed):
    Testbed.objects.update(condition="up")

    answer = browser.post("/testbeds/olive/lab/delete/")

    assert answer.status_code == 409
    assert "Stop it with Down first." in answer.content.decode()
    assert Testbed.objects.exists()
