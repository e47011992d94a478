"""The rows of the list of testbeds as HTML, each rendered once while it is the same.

A row's HTML follows from its values alone: no request and no user is known to it. So most
rows of most polls are those of the last one. Its cells of the condition, the guests, the
hosts and the last run say the same to each user who sees the testbed: the websocket of
the list sends them (`websocket/rows.py`). What the time changes is in words here.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from hashlib import blake2s

from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from testbed.models import Expiry, Run, Testbed
from testbed.pages.freshness import ago, elapsed, remaining
from testbed.pages.listing.rows import Row
from testbed.pages.listing.running import Progress

# Some 3 KiB each.
MOST_KEPT = 2_000
VERSION_BYTES = 6


@dataclass(frozen=True, slots=True)
class ShownOwner:
    """An owner's name, and whether the account may sign in."""

    username: str
    is_active: bool

    def __str__(self) -> str:
        return self.username


@dataclass(frozen=True, slots=True)
class ShownTestbed:
    """A testbed's own words; `shown` is how the user calls it."""

    slug: str
    account: str
    name: str
    shown: str
    owner: ShownOwner
    description: str
    tags: tuple[str, ...]
    created_at: datetime

    def __str__(self) -> str:
        return self.shown

    @property
    def full_name(self) -> str:
        """The name with its account."""
        return f"{self.account}/{self.name}"


@dataclass(frozen=True, slots=True)
class ShownEnd:
    """When it ends, in words, and whether that was announced; `at` is None for never."""

    at: datetime | None
    words: str
    is_announced: bool


@dataclass(frozen=True, slots=True)
class ShownRun:
    """The last run; `age` is the time since it began or, of one that is over, its date."""

    pk: int
    name: str
    status: str
    is_over: bool
    asker: str
    created_at: datetime
    age: str


@dataclass(frozen=True, slots=True)
class ShownProgress:
    """How much of its plan a run has done."""

    instructions: int
    percent: int
    stage: str
    over: int
    total: int


@dataclass(frozen=True, slots=True)
class ShownNow:
    """The state of a testbed and of its last run, the same for all users."""

    pk: int
    condition: str
    guests_up: int
    guests_total: int
    hosts: str
    end: ShownEnd | None
    last_run: ShownRun | None
    progress: ShownProgress | None

    @property
    def version(self) -> str:
        """Return a digest of all but the words that time alone changes."""
        end = replace(self.end, words="") if self.end else None
        run = replace(self.last_run, age="") if self.last_run else None
        lasting = repr(replace(self, end=end, last_run=run))
        return blake2s(lasting.encode(), digest_size=VERSION_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row as a user sees it. `role` is empty where it is not shown."""

    testbed: ShownTestbed
    role: str
    is_favourite: bool
    can_act: bool
    has_others: bool
    now: ShownNow


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells that a row shares with the rows of other users; equal versions, equal HTML.

    Only the words for times may differ.
    """

    version: str
    html: SafeString


def row_html(row: Row, *, has_others: bool) -> SafeString:
    """Render one testbed of the list; `has_others`: some have another owner."""
    shown = ShownRow(
        testbed=_testbed(row.testbed),
        role=str(row.role or ""),
        is_favourite=row.is_favourite,
        can_act=row.can_act,
        has_others=has_others,
        now=_now(row),
    )
    return _row(shown)


def cells_of(row: Row) -> Cells:
    """Render what the row of a testbed shows to each user who sees it."""
    now = _now(row)
    return Cells(now.version, _cells(now))


@lru_cache(maxsize=MOST_KEPT)
def _row(row: ShownRow) -> SafeString:
    context = {"row": row, "now": row.now}
    return render_to_string("testbeds/listing/_row.html", context)


@lru_cache(maxsize=MOST_KEPT)
def _cells(now: ShownNow) -> SafeString:
    return render_to_string("testbeds/listing/_cells.html", {"now": now})


def _now(row: Row) -> ShownNow:
    return ShownNow(
        pk=row.testbed.pk,
        condition=row.condition,
        guests_up=row.guests_up,
        guests_total=row.guests_total,
        hosts=", ".join(row.host_names),
        end=_end(row.expiry),
        last_run=_run(row.last_run) if row.last_run else None,
        progress=_progress(row.progress) if row.progress else None,
    )


def _testbed(testbed: Testbed) -> ShownTestbed:
    owner: User = testbed.owner
    return ShownTestbed(
        testbed.slug,
        testbed.account,
        testbed.name,
        str(testbed),
        ShownOwner(owner.username, owner.is_active),
        testbed.description,
        tuple(tag.name for tag in testbed.tags.all()),
        testbed.created_at,
    )


def _end(expiry: Expiry | None) -> ShownEnd | None:
    if expiry is None:
        return None
    ends_at = expiry.ends_at
    words = remaining(ends_at) if ends_at else ""
    return ShownEnd(ends_at, words, expiry.warned_at is not None)


def _run(run: Run) -> ShownRun:
    age = ago(run.created_at) if run.is_over else elapsed(run.created_at)
    return ShownRun(
        run.pk, run.name, run.status, run.is_over, run.asker, run.created_at, age
    )


def _progress(found: Progress) -> ShownProgress:
    return ShownProgress(
        found.instructions, found.percent, found.stage, found.over, found.total
    )
