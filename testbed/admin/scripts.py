"""The scripts of the admin's pages: Django's, without those that make slugs.

Nothing in this admin is filled in from another field, and the tables for it were half of
what a list waits for before it is painted: 50 of 100 KB.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.forms import Media

# Pages add the scripts of their fields and filters.
NEEDED = (
    "vendor/jquery/jquery.min.js",
    "jquery.init.js",
    "core.js",
    "admin/RelatedObjectLookups.js",
    "actions.js",
)

if TYPE_CHECKING:  # at run time it stands before a class that has all that
    Base = admin.ModelAdmin[Any]
else:
    Base = object


class WithoutSlugs(Base):
    """Stands before Django's class in each class of this admin."""

    @property
    def media(self) -> Media:
        """Return the scripts that pages need."""
        return Media(js=[f"admin/js/{name}" for name in NEEDED])
