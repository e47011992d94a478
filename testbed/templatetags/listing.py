"""The rows of the list of testbeds, in its templates."""

from django import template
from django.utils.safestring import SafeString

from testbed.pages.listing.rows import Row
from testbed.pages.listing.shown import row_html

register = template.Library()


@register.simple_tag
def listing_row(row: Row, *, has_others: bool) -> SafeString:
    """Show one testbed of the list; `has_others`: some have another owner."""
    return row_html(row, has_others=has_others)
