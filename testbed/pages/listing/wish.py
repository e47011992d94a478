"""The part of the list of testbeds that a user wishes to see, as its address has it.

An address is whatever a browser sends: values are cleaned and cut here, and the wrong
ones are replaced by the usual ones, with a sentence for the page. `choosing` finds the
testbeds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import urlencode

MOST_TEXT = 200
# A wrong value is repeated in a sentence up to here.
MOST_SHOWN = 40


class Whose(StrEnum):
    """Which of the testbeds that a user sees the list shows."""

    ALL = "all"
    MINE = "mine"
    SHARED = "shared"
    LEFT = "left"  # of users who may not sign in any more


SORT_WORDS = {
    "name": "by name",
    "-name": "by name, reversed",
    "owner": "by owner",
    "-owner": "by owner, reversed",
    "condition": "by condition",
    "-condition": "by condition, reversed",
    "-run": "last run first",
    "run": "last run last",
    "-guests": "most guests up first",
    "guests": "fewest guests up first",
    "-created": "newest first",
    "created": "oldest first",
}
SORTS = tuple(word for word in SORT_WORDS if not word.startswith("-"))
# A first click on these columns shows the highest first.
FROM_ABOVE = ("guests", "run")
CONDITIONS = {
    "changing": "a run is going on",
    "up": "up",
    "partial": "partial",
    "down": "down",
    "generated": "generated",
    "empty": "draft",
}
ENDS = {"day": "within a day", "week": "within a week", "never": "never"}
# By the parameter's name, its label and, where they are always the same, its values.
FILTERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "condition": ("Condition", CONDITIONS),
    "owner": ("Owner", {}),
    "group": ("Group", {}),
    "host": ("Host", {}),
    "tag": ("Tag", {}),
    "ends": ("Ends", ENDS),
    "starred": ("Favourites", {"1": "favourites only"}),
}


@dataclass(frozen=True, slots=True)
class ListWish:
    """The part of the list to show, and its order.

    `filters` has the values of `FILTERS` that are set; `wrong` are sentences about the
    values of the address that are none, and `notes` about all that were not followed.
    """

    whose: Whose = Whose.ALL
    text: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    sort: str = "name"
    is_descending: bool = False
    notes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "ListWish":
        """Read an address; a wrong value has its usual one, and a note."""
        values = {name: _clean(value) for name, value in query.items()}
        wrong = tuple(_wrong(values))
        notes = [f"{sentence} It was left out." for sentence in wrong]
        if len(query.get("q", "")) > MOST_TEXT:
            notes.append(f"The search is for the first {MOST_TEXT} characters.")
        sort = values.get("sort", "")
        sort = sort if sort in SORT_WORDS else "name"
        whose = values.get("whose", "")
        return cls(
            Whose(whose) if whose in set(Whose) else Whose.ALL,
            values.get("q", ""),
            {
                name: values[name]
                for name, (_, options) in FILTERS.items()
                if values.get(name) and (not options or values[name] in options)
            },
            sort.removeprefix("-"),
            sort.startswith("-"),
            tuple(notes),
            wrong,
        )

    @property
    def order(self) -> str:
        """Return how it is sorted as its address has it; `-` turns the order."""
        return f"{'-' if self.is_descending else ''}{self.sort}"

    @property
    def query(self) -> dict[str, str]:
        """Return the parts of its address that are not usual."""
        values = {"whose": self.whose.value, "q": self.text, **self.filters}
        values["sort"] = self.order
        usual = {"whose": Whose.ALL.value, "sort": "name"}
        return {name: v for name, v in values.items() if v != usual.get(name, "")}

    def of_page(self, number: int) -> dict[str, str]:
        """Return the parts of the address of one of its pages."""
        return self.query | ({"page": str(number)} if number > 1 else {})

    @property
    def is_narrow(self) -> bool:
        """Return whether a search or a filter leaves testbeds out."""
        return bool(self.text or self.filters)

    @property
    def cleared(self) -> str:
        """Return the address without search and filters."""
        return urlencode(replace(self, text="", filters={}).query)

    @property
    def heads(self) -> dict[str, tuple[str, str]]:
        """Return, by column, the address that sorts by it, and how it is sorted."""
        found = {}
        for name in SORTS:
            is_this = name == self.sort
            turned = not self.is_descending if is_this else name in FROM_ABOVE
            other = replace(self, sort=name, is_descending=turned)
            order = "descending" if self.is_descending else "ascending"
            found[name] = (urlencode(other.query), order if is_this else "")
        return found

    @property
    def tabs(self) -> dict[str, str]:
        """Return the addresses of the choices of `whose`."""
        return {one.value: urlencode(replace(self, whose=one).query) for one in Whose}


def _clean(text: str) -> str:
    """Return a value as any database takes it."""
    return text.replace("\0", "").strip()[:MOST_TEXT]


def _wrong(values: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each value that is none of its parameter."""
    parts = {whose.value: "" for whose in Whose}
    known = {"sort": ("order", SORT_WORDS), "whose": ("part", parts), **FILTERS}
    for name, (word, options) in known.items():
        value = values.get(name)
        if value and options and value not in options:
            shown = value[:MOST_SHOWN]
            yield f"The list has no {word.lower()} named {shown!r}."
