"""The record as its pages show it: chosen by user, act, thing, outcome and time."""

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.utils import timezone

from orchestration.errors import TestbedError
from testbed.access.permissions import Act, OwnAct
from testbed.models import Entry, Run, Testbed
from testbed.models.record.entries import OTHER_ACTS, EntryQuerySet

ACT_WORDS = {act.name.lower(): act.value for act in (*OwnAct, *Act)} | OTHER_ACTS
OUTCOMES = (
    *(value for value in Entry.Outcome.values if value != Entry.Outcome.STARTED),
    "running",
)
HEADS = (
    "when",
    "user",
    "role",
    "address",
    "act",
    "thing",
    "owner",
    "run",
    "what",
    "outcome",
    "said",
)
# A program that reads the table computes a cell that begins so.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


# The midnights before and after such a day are times in every zone.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)


def _day(label: str) -> forms.DateField:
    ends = {"min": FIRST_DAY.isoformat(), "max": LAST_DAY.isoformat()}
    return forms.DateField(
        label=label,
        required=False,
        widget=forms.DateInput({"type": "date"} | ends),
        validators=[MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)],
    )


class RecordForm(forms.Form):
    """The parts of the record to show."""

    user = forms.CharField(required=False, max_length=150)
    act = forms.ChoiceField(
        required=False,
        choices=[("", "all"), *sorted(ACT_WORDS.items(), key=lambda item: item[1])],
    )
    text = forms.CharField(
        label="Testbed, thing or words", required=False, max_length=200
    )
    outcome = forms.ChoiceField(
        required=False, choices=[("", "all"), *((word, word) for word in OUTCOMES)]
    )
    since = _day("From")
    until = _day("Up to")

    def entries(self, testbed: Testbed | None = None) -> EntryQuerySet:
        """Return the entries that fit; none where a field does not make sense."""
        if not self.is_valid():
            return Entry.objects.none()
        return _chosen(self.cleaned_data, testbed)

    @property
    def problem(self) -> TestbedError | None:
        """The error of the first bad field, for programs; None without one."""
        if self.is_valid():
            return None
        name, errors = next(iter(self.errors.items()))
        return TestbedError(f"{name}: {errors[0]}", hint="See docs/record.md.")

    @property
    def query(self) -> dict[str, str]:
        """The filled-in fields, as parts of an address."""
        names = [name for name in self.fields if self.data.get(name)]
        return {name: self.data[name] for name in names}


class Row(NamedTuple):
    """One entry with the words of its act, and the address of its run or testbed."""

    entry: Entry
    act: str
    has_run: bool
    testbed: Testbed | None


def rows_of(entries: list[Entry]) -> list[Row]:
    """Return entries as rows; what is gone since has no link."""
    runs = set(
        Run.objects.filter(pk__in={one.run_number for one in entries}).values_list(
            "pk", flat=True
        )
    )
    numbers = {one.testbed_number for one in entries if one.testbed_number is not None}
    rows = Testbed.objects.filter(number__in=numbers)
    testbeds: dict[int | None, Testbed] = {
        row.number: row for row in rows.select_related("owner")
    }
    return [
        Row(
            one,
            ACT_WORDS.get(one.act, one.act),
            one.run_number in runs,
            _still(one, testbeds.get(one.testbed_number)),
        )
        for one in entries
    ]


def _still(entry: Entry, testbed: Testbed | None) -> Testbed | None:
    """Return the testbed if the entry is of it: numbers are given again."""
    return testbed if testbed and testbed.created_at <= entry.at else None


def as_csv(entries: EntryQuerySet) -> Iterator[bytes]:
    """Yield the lines of a table for other programs, without all of it in memory."""
    yield _line(HEADS)
    for one in entries.iterator(chunk_size=500):
        yield _line(
            (
                one.at.isoformat(),
                one.user,
                one.role,
                one.address,
                ACT_WORDS.get(one.act, one.act),
                one.thing,
                one.owner,
                one.run_number or "",
                one.what,
                one.result,  # type: ignore[attr-defined]
                one.said,  # type: ignore[attr-defined]
            )
        )


def _chosen(values: dict[str, object], testbed: Testbed | None) -> EntryQuerySet:
    found = Entry.objects.listed()
    if testbed is not None:
        # A number is given again after its testbed is deleted.
        found = found.filter(testbed_number=testbed.number, at__gte=testbed.created_at)
    for name, lookup in (
        ("user", "user__iexact"),
        ("act", "act"),
        ("outcome", "result"),
    ):
        if values[name]:
            found = found.filter(**{lookup: values[name]})
    if text := values["text"]:
        found = found.filter(
            Q(thing__icontains=text) | Q(what__icontains=text) | Q(owner__iexact=text)
        )
    if isinstance(since := values["since"], date):
        found = found.filter(at__gte=_midnight(since))
    if isinstance(until := values["until"], date):
        found = found.filter(at__lt=_midnight(until + timedelta(days=1)))
    return found


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _line(cells: tuple[object, ...]) -> bytes:
    texts = [str(cell) for cell in cells]
    line = io.StringIO()
    csv.writer(line).writerow(f"'{t}" if t.startswith(FORMULA) else t for t in texts)
    return line.getvalue().encode()
