"""The facts that a testbed's page shows: its condition, its guests, its drift."""

import html
import re
from dataclasses import dataclass

from tests.live.client import Client

CONDITION = re.compile(r'data-title="[\w-]+: ([^"]+) · Testbeds"')
GUEST = re.compile(
    r'<tr id="guest-([\w-]+)">.*?<td>.*?<span\s*>([^<]+)</span></span>.*?</td>\s*'
    r'<td data-label="Host" class="quiet">([\w-]+)</td>',
    re.DOTALL,
)
DRIFT = re.compile(r'id="drift">.*?Drift detected:\s*(.*?)\.\s*<b>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")
MORE = re.compile(r"and (\d+) more$")


@dataclass(frozen=True)
class Shown:
    """A testbed as its page has it; `more` counts the lines of drift that are left out."""

    condition: str
    guests: dict[str, tuple[str, str]]
    drift: frozenset[str]
    more: int

    def __str__(self) -> str:
        guests = ", ".join(f"{n} {s} on {h}" for n, (s, h) in self.guests.items())
        return f"{self.condition}; {guests}; drift: {sorted(self.drift)} + {self.more}"


def shown_to(client: Client, slug: str) -> Shown:
    """Read the part of a testbed's page that changes by itself."""
    page = client.pages.read(f"/testbeds/{slug}/live/")
    condition = CONDITION.search(page)
    assert condition, page[:2000]
    found = {name: (status, host) for name, status, host in GUEST.findall(page)}
    drift = DRIFT.search(page)
    # Names are links.
    text = html.unescape(TAG.sub("", drift[1])) if drift else ""
    lines = " ".join(text.split()).split("; ") if text.strip() else []
    more = MORE.match(lines[-1]) if lines else None
    if more:
        lines.pop()
    return Shown(
        html.unescape(condition[1]),
        found,
        frozenset(lines),
        int(more[1]) if more else 0,
    )
