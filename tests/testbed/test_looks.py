"""Words, sizes, times and guest output as they are shown."""

from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from testbed.models import Instruction, Run, Task, Testbed
from testbed.templatetags.looks import LOOKS, ago, amount, duration, plain, size

ICONS = render_to_string("_sprite.html")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[?25lhidden", "hidden"),
        ("1%\r2%\r", "2%"),
        ("tab\tstays", "tab\tstays"),
        ("bell\x07 nul\x00 csi\x9b", "bell nul csi"),
        ("\x1b(Bplain", "plain"),
        ("unfinished \x1b[", "unfinished ["),
    ],
)
def test_terminal_codes_are_left_out(raw: str, shown: str):
    assert plain(raw) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (timedelta(hours=2, minutes=5), "2 h 05 min"),
        (None, ""),
    ],
)
def test_durations(seconds: float | timedelta | None, shown: str):
    assert duration(seconds) == shown


def test_sizes():
    assert [size(n) for n in (0, 1023, 1536, 5 * 1024**3)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
    ]
    assert amount(3, "guests") == "3 guests"


@pytest.mark.parametrize(
    ("past", "shown"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(minutes=4), "4 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=1, hours=1), "yesterday"),
        (timedelta(days=3), "3 days ago"),
    ],
)
def test_moments(past: timedelta, shown: str):
    assert ago(timezone.now() - past) == shown


def test_every_status_of_ours_has_a_look_with_an_icon():
    choices = (Testbed.Condition, Run.Status, Instruction.Status, Task.Status)

    words = {word for kind in choices for word in kind.values}

    assert words <= set(LOOKS)
    assert all(f'id="icon-{icon}"' in ICONS for _, icon, _ in LOOKS.values())
