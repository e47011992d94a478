"""Answers to the questions before something is erased, as a person or program gives them."""

import html
import re
from collections.abc import Callable
from typing import TypeVar

from django.http import HttpResponse
from django.test import Client

from testbed.testbeds.erasure.losses import Unconfirmed

Done = TypeVar("Done")
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
FORM = re.compile(
    r'<form class="stack" method="post" action="([^"]*)">(.*?)</form>', re.S
)
BUTTON = re.compile(r'<button type="submit"[^>]*name="([\w-]+)" value="([\w-]+)"')


def agreed(act: Callable[..., Done], *args: object, **options: object) -> Done:
    """Do an act of a service, confirmed when it has to be."""
    try:
        return act(*args, **options)
    except Unconfirmed as exc:
        return act(*args, **options, confirm=exc.erasure.token)


def seal_of(question: HttpResponse) -> str:
    """Return the digest of what a question names."""
    return dict(HIDDEN.findall(question.content.decode()))["seal"]


def answered(browser: Client, question: HttpResponse, typed: str = "") -> HttpResponse:
    """Send the form of a question, as its button does."""
    address, form = FORM.search(question.content.decode()).groups()
    fields: dict[str, list[str]] = {}
    for name, value in [*HIDDEN.findall(form), *BUTTON.findall(form)]:
        fields.setdefault(name, []).append(html.unescape(value))
    fields.pop("csrfmiddlewaretoken", None)
    if typed:
        fields["typed"] = [typed]
    return browser.post(address, fields)
