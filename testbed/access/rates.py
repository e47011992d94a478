"""Bounds how many requests each API token sends in a minute, and tells it in headers.

Counted in the one process that serves all users, in windows of a minute for each token.
Its memory is bounded: a token whose window is over is forgotten.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from orchestration.errors import TestbedError

WINDOW_S = 60
MOST_HELD = 10_000
_ATTRIBUTE = "_rate_of_token"
Respond = Callable[[HttpRequest], HttpResponse]


class TooManyRequests(TestbedError):
    """A token has sent as many requests as it may in this minute."""


class Rate(NamedTuple):
    """The requests that a token may send in a window, and what is left of both."""

    limit: int
    left: int
    left_s: int


class Rates:
    """The windows of tokens, by their hashes."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, held: int = MOST_HELD
    ) -> None:
        self._clock, self._held = clock, held
        self._lock = threading.Lock()
        # In the order in which their windows began.
        self._windows: dict[str, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def count(self, token: str, limit: int) -> Rate:
        """Count a request; what is left is below 0 where it is one too many."""
        now = self._clock()
        with self._lock:
            began, count = self._windows.get(token, (now, 0))
            if now - began >= WINDOW_S:
                began, count = now, 0
            if count == 0:
                self._windows.pop(token, None)
                self._forget(now)
            self._windows[token] = began, count + 1
        left_s = max(1, round(began + WINDOW_S - now))
        return Rate(limit, limit - count - 1, left_s)

    def _forget(self, now: float) -> None:
        """Drop the windows that are over and, of too many, the oldest."""
        for token, (began, _) in list(self._windows.items()):
            if now - began < WINDOW_S and len(self._windows) < self._held:
                return
            del self._windows[token]


_rates = Rates()


def take_turn(request: HttpRequest, token: str) -> None:
    """Count a request of a token. Raises: TooManyRequests."""
    rate = _rates.count(token, settings.API_REQUESTS)
    setattr(request, _ATTRIBUTE, rate)
    if rate.left < 0:
        raise TooManyRequests(
            f"This API token has sent {rate.limit} requests in a minute.",
            hint=f"Wait {rate.left_s} s.",
        )


def tell_rate(respond: Respond) -> Respond:
    """Tell a token in headers how many requests are left (middleware)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        answer = respond(request)
        rate: Rate | None = getattr(request, _ATTRIBUTE, None)
        if rate is not None:
            policy = f'"token";q={rate.limit};w={WINDOW_S}'
            answer.headers["RateLimit-Policy"] = policy
            answer.headers["RateLimit"] = (
                f'"token";r={max(0, rate.left)};t={rate.left_s}'
            )
            if rate.left < 0:
                answer.headers["Retry-After"] = str(rate.left_s)
        return answer

    return middleware
