"""Computes when a browser with nothing cached paints a page over a slow line.

From the bytes on the wire of the page, and of the style sheets and scripts for which its
first paint waits; `tests/live/test_browser_first_paint.py` holds that a real browser
waits for no others.
"""

import re

import httpx

LINE_BYTES_PER_S = 50_000
ROUND_TRIP_S = 0.1
# The connection, the page, and what it waits for, which the browser asks for at once.
ROUND_TRIPS = 3
BLOCKING = re.compile(
    r'<link rel="stylesheet" href="([^"]+)">|<script src="([^"]+)"></script>'
)


class Painting:
    """The bytes of what pages wait for; each address is asked for once."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def seconds(self, http: httpx.Client, page: httpx.Response, late_s: float) -> float:
        """Return when a page is painted that the server answers after so long."""
        found = {one or other for one, other in BLOCKING.findall(page.text)}
        for address in found - self._sizes.keys():
            answer = http.get(address).raise_for_status()
            self._sizes[address] = answer.num_bytes_downloaded
        total = sum(self._sizes[address] for address in found)
        total += page.num_bytes_downloaded
        return ROUND_TRIPS * ROUND_TRIP_S + late_s + total / LINE_BYTES_PER_S
