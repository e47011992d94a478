"""Finds the testbeds of the list, and the values by which it can be filtered.

Everything starts from the testbeds that the user sees, and names only users, groups and
hosts that the user may know: an unknown name and a stranger's filter alike to nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import groupby

from django.contrib.auth.models import Group, User
from django.db.models import (
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce

from testbed.models import (
    Expiry,
    Favourite,
    Host,
    ObservedGuest,
    Run,
    Share,
    Tag,
    Testbed,
)
from testbed.models.expiry import database_now
from testbed.models.testbeds import TestbedQuerySet
from testbed.pages.listing.wish import FILTERS, ListWish, Whose
from testbed.pages.overview import UP
from testbed.sharing.people import groups_of

# A filter offers so many values; the search finds the others.
MOST_OFFERED = 200
ENDS_WITHIN = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
Narrow = Callable[[TestbedQuerySet, User, str], TestbedQuerySet]
SORTED_BY = {
    "name": (),
    "owner": ("owner__username",),
    "condition": ("condition",),
    "guests": ("guests_up",),
    "run": ("newest_run",),
    "created": ("created_at",),
}


def listed(user: User, wish: ListWish) -> QuerySet[Testbed]:
    """Return the testbeds that a user sees and wishes to, in order."""
    found = seen_by(user, wish.whose)
    found = found.annotate(is_favourite=_is_favourite_of(user))
    if wish.text:
        found = found.filter(_with_text(wish.text))
    for name, value in wish.filters.items():
        found = NARROWED_BY[name](found, user, value)
    rows = found.select_related("owner", "expiry").prefetch_related("tags")
    return _sorted(rows.defer("started"), wish)


def seen_by(user: User, whose: Whose = Whose.ALL) -> TestbedQuerySet:
    """Return the testbeds that a user sees, of one part of the list."""
    found = Testbed.objects.all().visible_to(user)
    if whose is Whose.MINE:
        return found.filter(owner=user)
    if whose is Whose.SHARED:
        shared = Testbed.objects.all().shared_with(user).values("pk")
        return found.filter(pk__in=shared)
    return found.filter(owner__is_active=False) if whose is Whose.LEFT else found


def offered(user: User, wish: ListWish) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return name, label and options of each filter that has a choice (one query).

    An option is a value and its words. A value that is set is always among them.
    """
    names = _names(user)
    found = []
    for name, (label, fixed) in FILTERS.items():
        options = dict(fixed) or {value: value for value in names.get(name, ())}
        chosen = wish.filters.get(name, "")
        if chosen:
            options.setdefault(chosen, chosen)
        if chosen or fixed or len(options) > (name != "tag"):
            found.append((name, label, list(options.items())))
    return found


def _names(user: User) -> dict[str, list[str]]:
    """Return the values of the filters that follow from rows, sorted (one query)."""
    mine = seen_by(user).values("pk")
    owners = User.objects.filter(testbeds__in=mine).distinct()
    used = Q(shares__testbed__in=mine) | Q(charged_testbeds__in=mine)
    known = groups_of(user).order_by().values("pk")
    groups = Group.objects.filter(used, pk__in=known).distinct()
    parts = [
        _named("owner", owners, "username"),
        _named("group", groups, "name"),
        _named("host", Host.objects.all(), "name"),
        _named("tag", Tag.objects.filter(testbed__in=mine), "name").distinct(),
    ]
    rows = sorted(parts[0].union(*parts[1:], all=True))
    return {
        kind: [name for _, name in members][:MOST_OFFERED]
        for kind, members in groupby(rows, lambda row: row[0])
    }


def _named(kind: str, rows: QuerySet, field: str) -> QuerySet:  # type: ignore[type-arg]
    """Return pairs of a filter and a value; the rows of any model fit together."""
    return rows.order_by().values_list(Value(kind), field)


def _with_text(text: str) -> Q:
    """Return the condition that one of a testbed's words or its owner has a text."""
    tags = Tag.objects.filter(_of_outer(), name__icontains=text.lower())
    found = Q(name__icontains=text) | Q(slug__iexact=text) | Q(Exists(tags))
    # SQLite compares upper and lower case alike in ASCII alone.
    for form in {text} if text.isascii() else _cases(text):
        found |= Q(description__icontains=form) | Q(owner__username__icontains=form)
    account, _, name = text.rpartition("/")
    if account:  # as others' testbeds are shown
        found |= Q(owner__username__iexact=account, name__istartswith=name)
    return found


def _cases(text: str) -> set[str]:
    return {text, text.lower(), text.upper(), text.title(), text.capitalize()}


def _of_condition(found: TestbedQuerySet, user: User, value: str) -> TestbedQuerySet:
    if value == "changing":
        return found.filter(Exists(Run.objects.changing().filter(_of_outer())))
    return found.filter(condition=value)


def _of_owner(found: TestbedQuerySet, user: User, value: str) -> TestbedQuerySet:
    return found.filter(owner__username=value)


def _of_group(found: TestbedQuerySet, user: User, value: str) -> TestbedQuerySet:
    """Narrow to the testbeds of a group that the user knows: shared, or charged to it."""
    groups = groups_of(user).order_by().filter(name=value).values("pk")
    shares = Share.objects.filter(_of_outer(), group__in=groups)
    return found.filter(Exists(shares) | Q(charged_group__in=groups))


def _on_host(found: TestbedQuerySet, user: User, value: str) -> TestbedQuerySet:
    guests = ObservedGuest.objects.filter(_of_outer(), host=value)
    return found.filter(Exists(guests))


def _with_tag(found: TestbedQuerySet, user: User, value: str) -> TestbedQuerySet:
    tags = Tag.objects.filter(_of_outer(), name=value.lower())
    return found.filter(Exists(tags))


def _with_end(found: TestbedQuerySet, user: User, value: str) -> TestbedQuerySet:
    """Narrow to testbeds that end soon, or that a lab admin lets never end."""
    ends = Expiry.objects.all()
    if value == "never":
        ends = ends.filter(action=Expiry.Action.KEEP)
    else:
        ends = ends.ending(database_now() + ENDS_WITHIN[value])
    return found.filter(pk__in=ends.order_by().values("testbed"))


def _is_favourite_of(user: User) -> Exists:
    return Exists(Favourite.objects.filter(_of_outer(), user=user))


def _starred(found: TestbedQuerySet, user: User, value: str) -> TestbedQuerySet:
    return found.filter(_is_favourite_of(user))


# A filter more is a row here and one of `wish.FILTERS`.
NARROWED_BY: Mapping[str, Narrow] = {
    "condition": _of_condition,
    "owner": _of_owner,
    "group": _of_group,
    "host": _on_host,
    "tag": _with_tag,
    "ends": _with_end,
    "starred": _starred,
}


def _of_outer() -> Q:
    return Q(testbed=OuterRef("pk"))


def _sorted(found: TestbedQuerySet, wish: ListWish) -> QuerySet[Testbed]:
    """Sort, favourites first.

    The name decides among equals, so that pages neither share nor miss one.
    """
    if wish.sort == "guests":
        # Not joined: SQLite would sort testbeds with all that they started.
        up = ObservedGuest.objects.filter(_of_outer(), status__in=UP).order_by()
        counts = up.values("testbed").annotate(count=Count("pk")).values("count")
        found = found.annotate(guests_up=_number(counts))
    elif wish.sort == "run":
        runs = Run.objects.filter(_of_outer(), is_exclusive=True).order_by("-pk")
        found = found.annotate(newest_run=_number(runs.values("pk")[:1]))
    keys = (*SORTED_BY[wish.sort], "name", "pk")
    return found.order_by(
        F("is_favourite").desc(), *_turned(keys, is_descending=wish.is_descending)
    )


def _number(rows: "QuerySet") -> Coalesce:  # type: ignore[type-arg]
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)


def _turned(keys: Iterable[str], *, is_descending: bool) -> list[str]:
    return [f"-{key}" if is_descending else key for key in keys]
