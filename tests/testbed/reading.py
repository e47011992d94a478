"""A page as a browser reads it, independent of the line breaks of its source."""

import html
import re


def squeezed(source: str) -> str:
    """Return the HTML without the white space between tags, and one space elsewhere."""
    flat = re.sub(r"\s+", " ", source)
    return re.sub(r" ?(<[^>]*?) ?(/?>) ?", r"\1\2", flat).strip()


def visible(source: str) -> str:
    """Return the text of a page, without tags, one space between words."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", source))).strip()


def one_tag_a_line(source: str) -> str:
    """Return the HTML with each tag on a line of its own, for files that are compared."""
    return squeezed(source).replace("><", ">\n<")
