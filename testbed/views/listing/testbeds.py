"""The list of testbeds: chosen, searched, sorted and paged by its address."""

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from testbed.access.permissions import Act
from testbed.access.visibility import Request, page_of
from testbed.models import Testbed
from testbed.pages.listing.choosing import listed, offered, seen_by
from testbed.pages.listing.rows import rows_for
from testbed.pages.listing.running import active_runs
from testbed.pages.listing.steps import first_steps
from testbed.pages.listing.wish import MOST_SHOWN, SORT_WORDS, ListWish, Whose
from testbed.testbeds.files import list_examples

# By the element that htmx swaps: a poll the table, a choice the table with its form.
PARTS = {
    "": "testbeds/list.html",
    "listing": "testbeds/listing/_listing.html",
    "testbeds": "testbeds/listing/_table.html",
}


@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show the testbeds; htmx gets the part that it swaps."""
    wish = ListWish.of(request.GET.dict())
    page = page_of(request, listed(request.user, wish))
    part, context = _part(request), _table(request, wish, page)
    if part != "testbeds":
        context |= _around(request, wish, page)
    if not part:
        context["steps"] = first_steps(request.user)
    response = render(request, PARTS[part], context)
    if part == "listing":
        response.headers["HX-Push-Url"] = _address(wish, page)
    return response


def _part(request: Request) -> str:
    if not request.htmx or request.htmx.history_restore_request:
        return ""
    return "listing" if request.htmx.target == "listing" else "testbeds"


def _table(request: Request, wish: ListWish, page: Page[Testbed]) -> dict[str, object]:
    rows = rows_for(request.user, list(page))
    return {
        "page": page,
        "rows": rows,
        "can_act": any(row.can_act for row in rows),
        "can_extend": any(row.ends_at and row.may(Act.EXTEND) for row in rows),
        "running": active_runs(request.user).count(),
        "wish": wish,
        "query": wish.query,
        "polled": wish.of_page(page.number),
        "has_others": any(row.testbed.owner_id != request.user.pk for row in rows),
    }


def _around(request: Request, wish: ListWish, page: Page[Testbed]) -> dict[str, object]:
    is_new = not (page.paginator.count or wish.query)
    left = seen_by(request.user, Whose.LEFT)
    return {
        "sorts": SORT_WORDS.items(),
        "filters": offered(request.user, wish),
        "notes": (*wish.notes, *_note_of_page(request, page)),
        "link": request.build_absolute_uri(_address(wish, page)),
        "left": left.count() if request.user.is_superuser else 0,
        "is_new": is_new,
        "examples": list_examples() if is_new else {},
    }


def _address(wish: ListWish, page: Page[Testbed]) -> str:
    query = urlencode(wish.of_page(page.number))
    return f"{reverse('testbeds')}{'?' if query else ''}{query}"


def _note_of_page(request: Request, page: Page[Testbed]) -> list[str]:
    """Return a sentence when the address has a page that is not there."""
    asked = request.GET.get("page", "").replace("\0", "").strip()[:MOST_SHOWN]
    if asked in ("", str(page.number), "last"):
        return []
    count = page.paginator.num_pages
    return [f"There is no page {asked!r}; this is page {page.number} of {count}."]
