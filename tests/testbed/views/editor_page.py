"""The editor as a browser uses it: a form is loaded, its text is sent back.

Browsers send every line end as CRLF; what becomes of that is tested where files are
saved.
"""

import html
import re

from django.test import Client

EDIT = "/testbeds/olive/lab/edit/"


def shown(page: str) -> tuple[str, str]:
    """The form as a browser reads it: the text, and the digest of its first version."""
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
