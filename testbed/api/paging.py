"""Pages of a list: which one a request asks for, and the links to the others."""

from typing import TypeVar

from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from ninja import Field, Schema

from testbed.access.visibility import Request

MOST_A_PAGE = 1000
MOST_PAGES = 1_000_000
Row = TypeVar("Row", bound=Model)


class Paging(Schema):
    """The page of a list, from 1 on, and how many items a page has."""

    page: int = Field(1, ge=1, le=MOST_PAGES)
    per_page: int = Field(50, ge=1, le=MOST_A_PAGE)


def page_of(
    request: Request, response: HttpResponse, rows: QuerySet[Row], asked: Paging
) -> tuple[list[Row], int]:
    """Return the rows of a page and the count of all; `Link` leads to other pages.

    Beyond the last page there is nothing. Two queries.
    """
    pages = Paginator(rows, asked.per_page)
    last = pages.num_pages
    links = {"first": 1, "prev": asked.page - 1, "next": asked.page + 1, "last": last}
    response.headers["Link"] = ", ".join(
        f'<{_address(request, number)}>; rel="{rel}"'
        for rel, number in links.items()
        if 1 <= number <= last
    )
    begin = (asked.page - 1) * asked.per_page
    return list(rows[begin : begin + asked.per_page]), pages.count


def _address(request: Request, number: int) -> str:
    query = request.GET.copy()
    query["page"] = str(number)
    return f"{request.path}?{query.urlencode()}"
