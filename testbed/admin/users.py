"""Django admin for users, and for groups: their names, and their deletion.

Members and managers are changed on the groups' own pages alone: there a change has its
consequences, such as who is charged for testbeds, and which guests get or lose a user's
keys. No permission of Django's is used.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import PROTECT, ManyToOneRel, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from testbed.accounts.confirmation import way_to_confirmation
from testbed.admin.scripts import WithoutSlugs
from testbed.models import DirectoryEntry
from testbed.models.accounts.directory import is_of_directory
from testbed.sharing.groups import delete_group, reason_to_keep

if TYPE_CHECKING:  # these classes take type arguments in their stubs only
    UserBase = DjangoUserAdmin[User]
    GroupBase = admin.ModelAdmin[Group]
else:
    UserBase = DjangoUserAdmin
    GroupBase = admin.ModelAdmin

admin.site.unregister(User)
admin.site.unregister(Group)
# An account's address is the one that its row has; these rows are allauth's notes.
admin.site.unregister(EmailAddress)
admin.site.unregister((Authenticator, SocialAccount, SocialApp, SocialToken))

LEAVER = (
    "Take Active away on the user's page instead: that ends sessions, websockets and "
    "keys. Testbeds, Of deactivated users, then has Give to… for each testbed."
)


@admin.register(User)
class UserAdmin(WithoutSlugs, UserBase):
    """Users: names, passwords, who may sign in, and who is a lab admin."""

    filter_horizontal = ()
    list_filter = ("is_superuser", "is_active", "groups")
    readonly_fields = ("memberships", "whose_password")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Name", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Groups", {"fields": ("memberships",)}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Say of a directory's account whose its password is, in place of a hash."""
        (first, *others) = super().get_fieldsets(request, obj)
        if obj is not None and is_of_directory(obj):
            first = (None, {"fields": ("username", "whose_password")})
        return [first, *others]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show or save an account, after the admin's password once more.

        A lab admin who is made here outlives the session of the one who made it.
        """
        may = self.has_change_permission(request)
        way = way_to_confirmation(request) if may else None
        return way or super().changeform_view(
            request, object_id, form_url, extra_context
        )

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Set a password, after the admin's once more."""
        may = self.has_change_permission(request)
        way = way_to_confirmation(request) if may else None
        return way or super().user_change_password(request, id, form_url)

    def save_model(
        self, request: HttpRequest, obj: User, form: Any, change: bool
    ) -> None:
        """Save an account; one that is saved as not active is kept out by the admin.

        Its user had perhaps left the directory, and does not come back by a sign-in.
        """
        super().save_model(request, obj, form, change)
        if not obj.is_active:
            DirectoryEntry.objects.filter(user=obj).update(left_at=None)

    def get_deleted_objects(
        self, objs: Sequence[User] | QuerySet[User], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Say what keeps a user, and what to do: Django names missing rights instead."""
        kept = {user: things for user in objs if (things := _things_of(user))}
        if not kept:
            return super().get_deleted_objects(objs, request)
        protected = []
        for user, things in kept.items():
            what = f"owner or author of {', '.join(things)}"
            messages.error(
                request, f"User {user} stays: {user} is the {what}. {LEAVER}"
            )
            protected += [f"{one} of {user}" for one in things]
        return [], {}, set(), protected

    @admin.display(description="password")
    def whose_password(self, user: User) -> SafeString:
        """Name the directory, and lead to the page that takes the account from it."""
        return format_html(
            'That of {}. <a href="../password/">Set one here</a> in its place.',
            settings.DIRECTORY.name,
        )

    @admin.display(description="groups")
    def memberships(self, user: User) -> SafeString:
        """Link to the pages that change the user's groups."""
        links = [
            (reverse("group", args=[group.pk]), group.name)
            for group in user.groups.order_by("name")
        ] + [(reverse("groups"), "All groups")]
        return format_html_join(" · ", '<a href="{}">{}</a>', links)


@admin.register(Group)
class GroupAdmin(WithoutSlugs, GroupBase):
    """Groups; one is deleted where the owners of its testbeds have enough left."""

    list_display = ("name", "page")
    search_fields = ("name",)
    fields = ("name",)

    @admin.display(description="page")
    def page(self, group: Group) -> SafeString:
        """Link to the group's own page."""
        return format_html('<a href="{}">open</a>', reverse("group", args=[group.pk]))

    def get_deleted_objects(
        self, objs: Sequence[Group] | QuerySet[Group], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Name what keeps a group: Django refuses to delete it then."""
        things, counts, needs, protected = super().get_deleted_objects(objs, request)
        for group in objs:
            if problem := reason_to_keep(group):
                messages.error(request, f"Group {group} stays. {problem.sentence}")
                protected.append(f"testbeds that are charged to group {group}")
        return things, counts, needs, protected

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        """Delete one, and charge its testbeds to their owners."""
        _delete(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        """Delete several in one transaction, or none."""
        with transaction.atomic():
            for group in queryset:
                _delete(request, group)


def _things_of(user: User) -> list[str]:
    """Return how many of which things keep a user, as `2 testbeds`."""
    naming: dict[type[Model], Q] = {}
    for one in User._meta.get_fields(include_hidden=True):
        if isinstance(one, ManyToOneRel) and one.on_delete is PROTECT:
            wish = Q(**{one.field.name: user})
            naming[one.related_model] = naming.get(one.related_model, Q()) | wish
    counts = {
        str(model._meta.verbose_name): model._base_manager.filter(wish).count()
        for model, wish in naming.items()
    }
    return [count_of(count, noun) for noun, count in sorted(counts.items()) if count]


def _delete(request: HttpRequest, group: Group) -> None:
    """Delete a group; a testbed may have been charged to it since the page was asked."""
    try:
        delete_group(group, cast(User, request.user))
    except TestbedError as exc:
        raise PermissionDenied(exc.sentence) from exc
