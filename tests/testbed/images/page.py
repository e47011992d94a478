"""The pages of images as an admin's browser shows them.

What is on a page is compared as text: its words, its numbers and its buttons.
"""

from django.test import Client


def shown(page: Client, path: str = "/images/") -> str:
    return page.get(path).content.decode()
