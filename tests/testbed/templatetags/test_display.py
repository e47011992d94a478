"""Words, sizes and times as they are shown."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.contrib.messages.storage.base import Message
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import mark_safe

from orchestration.errors import Finding, Severity, StateError
from orchestration.providers.libvirt.facts.domains import DomainStatus
from testbed.models import Host, Instruction, Run, Task, Testbed
from testbed.pages.overview import ABSENT, CHANGING
from testbed.templatetags.display import DISPLAY, ago, duration, tally, with_code

ICONS = render_to_string("_sprite.html")


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


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("Add `ip`, or remove `gateway`.", "Add [ip], or remove [gateway]."),
        ("Start it with `- name: …`.", "Start it with [- name: …]."),
        ("Run `up` agai…", "Run [up] agai…"),
        ("Run `virsh domif-setl…", "Run [virsh domif-setl…]"),
        ("It`s one of a kind.", "It`s one of a kind."),
        ("`` holds nothing", "`` holds nothing"),
        ("a ` b\nc ` d", "a ` b\nc ` d"),
        ("", ""),
        (StateError("Remove `x`."), "Remove [x]."),
    ],
)
def test_text_in_backticks_is_code(sentence: object, shown: str):
    marks = {'<code class="key">': "[", "</code>": "]"}

    found = with_code(sentence)

    for mark, bracket in marks.items():
        found = found.replace(mark, bracket)
    assert found == shown


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;",
    "</code><script>alert(1)</script><code>",
    "' onmouseover='alert(1)",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "frame", ["{}", "`{}`", "`a`{}`b`", "`{}", "{}`…", "`<`{}`>`", "`{}…"]
)
def test_no_message_brings_marks_of_its_own(text: str, frame: str):
    parser = Tags()
    parser.feed(f"<p>{with_code(frame.format(text))}</p>")

    assert set(parser.tags) <= {("p", ()), ("code", (("class", "key"),))}
    assert parser.text.replace("`", "") == frame.format(text).replace("`", "")


def test_message_that_claims_to_be_safe_is_escaped_all_the_same():
    assert with_code(mark_safe("<b>`x`</b>")).startswith("&lt;b&gt;<code")


@pytest.mark.parametrize("template", ["runs/_task.html", "_messages.html"])
@pytest.mark.parametrize("text", HOSTILE)
def test_templates_show_a_hostile_message_as_text(template: str, text: str):
    task = Task(resource="web", host="main", status="failed", message=f"`{text}`")

    run = Run(testbed=Testbed(slug="tb1", name="lab"))

    context = {"task": task, "run": run, "messages": [Message(40, text)]}
    shown = render_to_string(template, context)

    assert not re.search(r"<(script|img|b)\b|<[^>]* on\w+=", shown)
    assert escape(text) in shown


class Tags(HTMLParser):
    """Reads HTML as a browser does: its tags, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


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
    words |= {status.value for status in DomainStatus} | {ABSENT} | {*CHANGING.values()}

    assert words <= set(DISPLAY)
    assert all(f'id="icon-{icon}"' in ICONS for _, icon, _ in DISPLAY.values())


@pytest.mark.parametrize(
    ("load", "shown"), [(0.2, "online"), (2.0, "online"), (9.8, "overloaded")]
)
def test_host_with_more_load_than_cpus_is_overloaded(load: float, shown: str):
    host = Host(cpus=2, load=load, checked_at=timezone.now())

    assert host.availability == shown


def test_findings_are_counted_by_severity():
    error, warning = (
        Finding(1, 1, severity, "", "m")
        for severity in (Severity.ERROR, Severity.WARNING)
    )

    assert tally((error, warning, warning)) == "1 error, 2 warnings"
    assert tally(()) == "No problems"
