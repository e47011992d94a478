"""The display of facts: a status as colour, icon and word; sizes; durations; log text.

Loaded by the templates with `{% load display %}`. One table maps each status word of a
testbed, guest, run, stage or task to its display, so that all pages agree.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from urllib.parse import urlencode

from django import template
from django.template.loader import render_to_string
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from orchestration import amounts
from orchestration.errors import Finding
from orchestration.terminal import plain, plain_lines
from testbed.models import Task
from testbed.models.runs import COMMAND_NAMES
from testbed.pages.board import Copies
from testbed.pages.freshness import ago, elapsed, remaining
from testbed.testbeds.findings import errors_among

register = template.Library()
register.filter("plain", plain)
register.filter("plain_text", plain_lines)
register.filter("size", amounts.size)
register.filter("speed", amounts.speed)
register.filter("time_left", amounts.time_left)
register.filter("ago", ago)
register.filter("elapsed", elapsed)
register.filter("remaining", remaining)

# For each status word: its tone, its icon, and its text.
DISPLAY = {
    "up": ("good", "check", "up"),
    "running": ("good", "play", "running"),
    "blocked": ("good", "play", "running"),
    "done": ("good", "check", "done"),
    "succeeded": ("good", "check", "succeeded"),
    "unchanged": ("calm", "equal", "unchanged"),
    "starting": ("live", "spin", "starting…"),
    "stopping": ("live", "spin", "stopping…"),
    "stopped": ("calm", "stop", "stopped"),
    "generating": ("live", "spin", "generating…"),
    "deleting": ("live", "spin", "deleting…"),
    "ok": ("good", "check", "ok"),
    "lacking": ("bad", "cross", "lacking"),
    "lacking, optional": ("warn", "alert", "lacking"),
    "not checked": ("calm", "circle", "not checked"),
    "checking": ("live", "spin", "checking…"),
    "current": ("live", "clock", "current"),
    "to come": ("calm", "clock", "to come"),
    "over": ("calm", "check", "over"),
    "lost": ("bad", "alert", "lost"),
    "drained": ("warn", "pause", "drained"),
    "online": ("good", "check", "online"),
    "overloaded": ("warn", "alert", "overloaded"),
    "offline": ("bad", "cross", "offline"),
    "partial": ("warn", "half", "partial"),
    "warning": ("warn", "alert", "warning"),
    "paused": ("warn", "pause", "paused"),
    "changed": ("warn", "alert", "script edited, not applied"),
    "cancelling": ("warn", "spin", "cancelling…"),
    "failed": ("bad", "cross", "failed"),
    "error": ("bad", "cross", "error"),
    "crashed": ("bad", "cross", "crashed"),
    "interrupted": ("bad", "alert", "interrupted"),
    "refused": ("warn", "stop", "refused"),
    "cancelled": ("calm", "stop", "cancelled"),
    "skipped": ("calm", "skip", "skipped"),
    "waiting": ("calm", "clock", "waiting"),
    "not run": ("calm", "circle", "not run yet"),
    "pending": ("calm", "clock", "queued"),
    "generated": ("calm", "file", "generated"),
    "empty": ("calm", "circle", "draft"),
    "down": ("calm", "circle", "down"),
    "shut off": ("calm", "circle", "shut off"),
    "shutting down": ("calm", "arrow-down", "shutting down"),
    "suspended": ("warn", "pause", "suspended"),
    "absent": ("calm", "circle", "stopped"),
    "unknown": ("calm", "question", "unknown"),
    "none": ("calm", "circle", "none"),
    "written": ("calm", "guest", "as written"),
    "unbuilt": ("warn", "alert", "cannot be brought up yet"),
}
# `key`, or `key… at the end of a text that was cut.
IN_BACKTICKS = re.compile(r"`([^`\n]+?(?:(?=`)|…$))`?")
RUN_DISPLAY = {"running": ("live", "spin", "running")}


def display_of(word: str) -> tuple[str, str, str]:
    """Return tone, icon and text of a status word."""
    return DISPLAY.get(word.lower(), ("calm", "question", word))


@register.simple_tag
def status(word: str) -> SafeString:
    """Show the status of a thing: colour, icon and word."""
    return _status(display_of(str(word)))


@register.simple_tag
def work_status(word: str, *, bare: bool = False) -> SafeString:
    """Show the status of work (run, stage, task): the icon of `running` turns."""
    return _status(RUN_DISPLAY.get(str(word), display_of(str(word))), bare=bare)


# A list of fifty rows has hundreds of these few.
@lru_cache(maxsize=256)
def _status(display: tuple[str, str, str], *, bare: bool = False) -> SafeString:
    tone, icon, text = display
    context = {"tone": tone, "icon": icon, "text": text, "bare": bare}
    return render_to_string("_status.html", context)


@lru_cache(maxsize=256)
def _icon(name: str) -> SafeString:
    return render_to_string("_icon.html", {"name": name})


@register.inclusion_tag("_heads.html")
def heads(*titles: str, hidden: str = "") -> dict[str, object]:
    """Show the heads of a table's columns; the last one may be for screen readers."""
    return {"titles": titles, "hidden": hidden}


@register.filter
def tone(word: str) -> str:
    """Return the tone of a status word, for a class name."""
    return display_of(str(word))[0]


@register.filter
def glyph(word: str) -> str:
    """Return the icon of a status word."""
    return display_of(str(word))[1]


@register.filter
def word(status_word: str) -> str:
    """Return the text of a status word."""
    return display_of(str(status_word))[2]


@register.filter
def with_code(sentence: object) -> SafeString:
    """Show a message or a hint, with text in backticks as code.

    Everything is escaped before the marking, so no author can insert HTML. A sentence
    that was cut inside a mark is marked up to its end.
    """
    marked = IN_BACKTICKS.sub(r'<code class="key">\1</code>', escape(str(sentence)))
    return mark_safe(marked)  # nosec B308, B703  # noqa: S308


@register.filter
def half(number: int) -> int:
    """Return half of a number of pixels."""
    return number // 2


@register.simple_tag
def icon(name: str) -> SafeString:
    """Show an icon of the sprite, hidden from screen readers."""
    return _icon(name)


@register.filter
def mib(count: int) -> str:
    """Show a number of MiB."""
    return amounts.mib(count)


@register.filter
def so_far(task: Task | Copies) -> str:
    """Show how far a task is, or all copies of a stage: `48 of 200 MiB`."""
    return amounts.so_far(task.done, task.total, task.unit)


@register.filter
def copied(task: Task) -> str:
    """Show a copy's progress, rate and remaining time, as one phrase."""
    left = None if task.left_s is None else amounts.time_left(task.left_s)
    phrases = (so_far(task), amounts.speed(task.rate), left)
    return ", ".join(phrase for phrase in phrases if phrase)


@register.filter
def tally(findings: tuple[Finding, ...]) -> str:
    """Count the findings in a YAML: `1 error, 2 warnings`."""
    errors = errors_among(findings)
    counts = ((errors, "error"), (len(findings) - errors, "warning"))
    found = [plural(count, word) for count, word in counts if count]
    return ", ".join(found) or "No problems"


@register.filter
def duration(seconds: float | timedelta | None) -> str:
    """Show a duration: `0.4 s`, `12 s`, `3 min 07 s`, `2 h 05 min`."""
    if seconds is None:
        return ""
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    return amounts.duration(seconds)


@register.filter
def took(thing: object) -> str:
    """Show the duration of a run, stage or instruction, or nothing before its end."""
    started = getattr(thing, "started_at", None)
    ended = getattr(thing, "ended_at", None)
    return duration(ended - started) if started and ended else ""


@register.filter
def verb(command: str) -> str:
    """Show a run's command as a title."""
    return COMMAND_NAMES.get(command, command)


@register.filter
def plural(count: int, word: str) -> str:
    """Show `1 guest`, `2 guests`."""
    return amounts.count_of(count, word)


@register.filter
def of(values: Mapping[str, str], name: str) -> str:
    """Return the value of a name, or nothing."""
    return values.get(name, "")


@register.filter
def query(values: Mapping[str, str | bytes]) -> str:
    """Return a query string."""
    return urlencode(values)
