"""How many requests a token sends in a minute, and the memory of that."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from testbed.access.rates import TRY_AGAIN_S, WINDOW_S, Rates, SharedRates
from tests.testbed.api.conftest import asker
from tests.waiting import wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_window_begins_anew_after_a_minute():
    clock = Clock()
    rates = Rates(clock)
    first = [rates.count("a", 2).left for _ in range(3)]

    clock.now += WINDOW_S - 1
    late = rates.count("a", 2)
    clock.now += 1
    anew = rates.count("a", 2)

    assert first == [1, 0, -1]
    assert (late.left, late.left_s) == (-2, 1)
    assert (anew.left, anew.left_s) == (1, WINDOW_S)


def test_tokens_are_counted_by_themselves():
    rates = Rates(Clock())

    assert [rates.count(token, 5).left for token in "aba"] == [4, 4, 3]


def test_memory_is_bounded_and_old_windows_are_forgotten():
    clock = Clock()
    rates = Rates(clock, held=10)
    for token in range(100):
        rates.count(str(token), 5)
    many = len(rates)

    clock.now += WINDOW_S
    rates.count("new", 5)

    assert (many, len(rates)) == (10, 1)


def test_flood_is_refused_and_each_answer_tells_what_is_left(
    owner: User, settings: object
):
    settings.API_REQUESTS = 2
    ask = asker(owner)

    answers = [ask("GET", "/me") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"token";q=2;w=60'
    assert answers[0].headers["RateLimit"].startswith('"token";r=1;t=')
    assert 1 <= int(answers[2].headers["Retry-After"]) <= WINDOW_S
    assert answers[2].json()["hint"].startswith("Wait ")
    assert asker(owner)("GET", "/me").status_code == 200


@contextmanager
def redis_at(socket: Path) -> Iterator[None]:
    """Run a Redis of the test's own."""
    words = ("redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "")
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=socket.parent)
    try:
        wait_until(socket.exists)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis is missing")
def test_processes_count_together_and_alone_while_redis_is_away(tmp_path: Path):
    clock, url = Clock(), f"unix://{tmp_path}/redis"
    one, other = (SharedRates(url, Rates(clock), clock) for _ in range(2))

    with redis_at(tmp_path / "redis"):
        together = [each.count("a", 3) for each in (one, other, one, other)]
        another = other.count("b", 3)
    away = [each.count("a", 3).left for each in (one, other, one)]
    with redis_at(tmp_path / "redis"):
        not_tried = one.count("a", 3).left
        clock.now += TRY_AGAIN_S
        back = [each.count("a", 3).left for each in (one, other)]

    assert [rate.left for rate in together] == [2, 1, 0, -1]
    assert all(1 <= rate.left_s <= WINDOW_S for rate in together)
    assert another.left == 2
    assert (away, not_tried) == ([2, 2, 1], 0)
    assert back == [2, 1]


def test_redis_that_was_never_there_stops_no_request(tmp_path: Path):
    rates = SharedRates(f"unix://{tmp_path}/none", Rates(), Clock())

    assert [rates.count("a", 2).left for _ in range(3)] == [1, 0, -1]
