"""Shows a testbed's source, its fetches, and the two sides of a conflict's files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestration.errors import TestbedError
from orchestration.transport.ssh.first_contact import host_key_of
from testbed.models import Fetch, Source, Testbed
from testbed.pages.waiting import unclaimed_fetch
from testbed.sources.places import place_of
from testbed.testbeds.comparison import Stretch, compare
from testbed.testbeds.editing import open_small

MOST_FETCHES = 20
MOST_COMPARED = 10  # files of one conflict; of others the names are shown


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that changed on both sides; `stretches` is empty where one is no text.

    `is_here`, `is_there`: it existed there. `is_edited`: the file here is known to be
    another one by now.
    """

    path: str
    is_here: bool
    is_there: bool
    is_edited: bool
    stretches: Sequence[Stretch] = ()


def source_of_page(testbed: Testbed) -> Source | None:
    """Return the present source, without the list of its files (one query)."""
    rows = Source.objects.filter(testbed=testbed).select_related("up_by")
    return rows.defer("manifest").first()


def shown_source(testbed: Testbed, source: Source | None) -> dict[str, object]:
    """Return what the page shows beside the source's form."""
    rows = Fetch.objects.filter(testbed=testbed).defer("changes")
    fetches = list(rows[:MOST_FETCHES])
    newest = fetches[0] if fetches else None
    seen = source.host_key or source.seen_key if source else ""
    place = (
        place_of(source.url, frozenset({"https", "ssh", "file"})) if source else None
    )
    return {
        "source": source,
        "is_ssh": bool(place and place.is_ssh),
        "forge": place.host if place else "",
        "seen": host_key_of(seen) if seen else None,
        "fetches": fetches,
        "newest": newest,
        "is_busy": bool(newest and newest.is_active),
        "waiting": unclaimed_fetch(newest) if newest else None,
    }


def conflicts_of(row: Fetch) -> list[Conflict]:
    """Return the files in conflict, the first ones with both sides."""
    found = row.changes.get("conflicts", [])
    return [
        _conflict(row.testbed, each, is_compared=number < MOST_COMPARED)
        for number, each in enumerate(found)
    ]


def _conflict(testbed: Testbed, side: dict[str, str], *, is_compared: bool) -> Conflict:
    """Show a file in conflict; of a large one, or one too many, nothing is read."""
    path, theirs = side["path"], side["text"] if side["there"] else ""
    found = Conflict(path, bool(side["here"]), bool(side["there"]), is_edited=False)
    if not is_compared:
        return found
    try:
        here = open_small(testbed, path)
    except TestbedError:  # a folder by now
        return replace(found, is_edited=True)
    if here is None:
        return found
    stretches: Sequence[Stretch] = ()
    if here.text is not None and theirs is not None:
        stretches = compare(here.text.text, theirs)
    is_edited = here.digest != side["here"]
    return replace(found, is_edited=is_edited, stretches=stretches)
