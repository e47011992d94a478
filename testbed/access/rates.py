"""Bounds how many requests an API token or a client sends in a minute.

Tokens are told in headers. Counted in Redis, so that all web processes count together,
in windows of a minute that begin with the first request. While Redis is away, each process counts for itself:
requests are served, and a lab has as many times the limit as it has processes. Memory is
bounded: a window that is over is forgotten.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from orchestration.errors import TestbedError

logger = logging.getLogger(__name__)
WINDOW_S = 60
MOST_HELD = 10_000
# Of each request while Redis hangs, once in the time after which it is tried again.
PATIENCE_S = 0.25
TRY_AGAIN_S = 5.0
KEY = "testbed.rate."
_ATTRIBUTE = "_rate_of_token"
Respond = Callable[[HttpRequest], HttpResponse]


class TooManyRequests(TestbedError):
    """A token has sent as many requests as it may in this minute."""


class Rate(NamedTuple):
    """The requests that may be sent in a window, and what is left of both."""

    limit: int
    left: int
    left_s: int


class Counter(Protocol):
    """Counts requests by the keys of those that send them, such as a token's hash."""

    def count(self, key: str, limit: int) -> Rate:
        """Count a request; what is left is below 0 where it is one too many."""


class Rates:
    """The windows in this process."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, held: int = MOST_HELD
    ) -> None:
        self._clock, self._held = clock, held
        self._lock = threading.Lock()
        # In the order in which their windows began.
        self._windows: dict[str, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def count(self, key: str, limit: int) -> Rate:
        """Count a request; what is left is below 0 where it is one too many."""
        now = self._clock()
        with self._lock:
            began, count = self._windows.get(key, (now, 0))
            if now - began >= WINDOW_S:
                began, count = now, 0
            if count == 0:
                self._windows.pop(key, None)
                self._forget(now)
            self._windows[key] = began, count + 1
        left_s = max(1, round(began + WINDOW_S - now))
        return Rate(limit, limit - count - 1, left_s)

    def _forget(self, now: float) -> None:
        """Drop the windows that are over and, of too many, the oldest."""
        for key, (began, _) in list(self._windows.items()):
            if now - began < WINDOW_S and len(self._windows) < self._held:
                return
            del self._windows[key]


class SharedRates:
    """The windows in Redis, and in this process while Redis is away."""

    def __init__(
        self,
        url: str,
        own: Counter,
        clock: Callable[[], float] = time.monotonic,
        *,
        subject: str = "token.",
    ) -> None:
        self._own, self._clock = own, clock
        self._begin = KEY + subject
        self._away_until = float("-inf")
        self._redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
        )

    def count(self, key: str, limit: int) -> Rate:
        """Count a request; what is left is below 0 where it is one too many."""
        if self._clock() < self._away_until:
            return self._own.count(key, limit)
        try:
            count, left_s = self._counted(key)
        except (RedisError, OSError) as exc:
            self._away_until = self._clock() + TRY_AGAIN_S
            logger.warning("requests are counted in this process: %s", exc)
            return self._own.count(key, limit)
        return Rate(limit, limit - count, max(1, left_s))

    def _counted(self, key: str) -> tuple[int, int]:
        """Return the number of requests in the window, and its rest in seconds."""
        with self._redis.pipeline() as together:  # one message, done as a whole
            together.set(self._begin + key, 0, ex=WINDOW_S, nx=True)
            together.incr(self._begin + key)
            together.ttl(self._begin + key)
            _, count, left_s = together.execute()
        return int(count), int(left_s)


def counter_at(url: str, subject: str) -> Counter:
    """Return what counts in a Redis, or without one in this process."""
    return SharedRates(url, Rates(), subject=subject) if url else Rates()


_rates = counter_at(settings.REDIS_URL, "token.")


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
