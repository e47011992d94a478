"""Django admin for users. Their groups are changed on the pages of these alone.

There a change has its consequences: who is charged for the user's testbeds, which guests
get or lose the user's keys, and the log. No permission of Django's is used.
"""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

if TYPE_CHECKING:  # the class takes type arguments in its stubs only
    UserBase = DjangoUserAdmin[User]
else:
    UserBase = DjangoUserAdmin

admin.site.unregister(User)


@admin.register(User)
class UserAdmin(UserBase):
    """Users: names, passwords, who may sign in, and who is a lab admin."""

    filter_horizontal = ()
    list_filter = ("is_superuser", "is_active", "groups")
    readonly_fields = ("memberships",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Name", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Groups", {"fields": readonly_fields}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )

    @admin.display(description="groups")
    def memberships(self, user: User) -> SafeString:
        """Link to the pages that change the user's groups."""
        links = [
            (reverse("group", args=[group.pk]), group.name)
            for group in user.groups.order_by("name")
        ] + [(reverse("groups"), "All groups")]
        return format_html_join(" · ", '<a href="{}">{}</a>', links)
