"""Django admin for hosts, testbeds, runs, login counts and allowances.

Hosts are changed on their own pages. Runs are records and read-only. A testbed's number and name are
fixed, because subnets and guests on the hosts are named after them. Testbeds are
deleted on their own page, which first checks that nothing is up. Deleting a login count
lets its account or address try again.
"""

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from testbed.access.limits import Account, name_of, overuse_of
from testbed.admin.scripts import WithoutSlugs
from testbed.models import (
    Allowance,
    GroupAllowance,
    Host,
    Instruction,
    LoginCount,
    Run,
    Testbed,
)
from testbed.testbeds.quotas import used_by

if TYPE_CHECKING:  # these classes take type arguments in their stubs only
    from django.forms import ModelForm

    HostBase = admin.ModelAdmin[Host]
    TestbedBase = admin.ModelAdmin[Testbed]
    RunBase = admin.ModelAdmin[Run]
    InstructionBase = admin.TabularInline[Instruction, Run]
    LoginCountBase = admin.ModelAdmin[LoginCount]
    AllowanceBase = admin.ModelAdmin[Allowance]
    GroupAllowanceBase = admin.ModelAdmin[GroupAllowance]
else:
    HostBase = TestbedBase = RunBase = admin.ModelAdmin
    LoginCountBase = AllowanceBase = GroupAllowanceBase = admin.ModelAdmin
    InstructionBase = admin.TabularInline

QUOTA = ("testbeds", "guests", "vcpus", "memory_gib", "user_disk_gib", "runs")

admin.site.site_header = "Testbed administration"
admin.site.site_title = "Testbed"
admin.site.index_title = "Users, hosts, testbeds and runs"


@admin.register(Host)
class HostAdmin(WithoutSlugs, HostBase):
    """Hosts, read-only: their pages add, change and remove them."""

    list_display = (
        "name",
        "role",
        "kind",
        "address",
        "domain_type",
        "datapath",
        "works",
        "checked_at",
        "page",
    )
    list_filter = ("kind", "domain_type")
    search_fields = ("name", "address")
    fields = ("name", "kind", "is_main", "address", "port", "checked_at", "page")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: hosts are added on their own page, which checks them."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Host | None = None
    ) -> bool:
        """Return False: their own page tells two admins of each other."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Host | None = None
    ) -> bool:
        """Return False: their own page looks whether a testbed uses them."""
        return False

    @admin.display(description="page")
    def page(self, host: Host) -> SafeString:
        """Link to the host's own page."""
        return format_html('<a href="{}">open</a>', reverse("host", args=[host]))

    @admin.display(description="role", ordering="is_main")
    def role(self, host: Host) -> str:
        """Return `main` for the main host."""
        return "main" if host.is_main else ""

    @admin.display(boolean=True, description="works")
    def works(self, host: Host) -> bool | None:
        """Return whether the last check found it working; None before the first."""
        return None if host.checked_at is None else not host.problem


@admin.register(Testbed)
class TestbedAdmin(WithoutSlugs, TestbedBase):
    """Testbeds, read-only: their pages change them, and give them to other owners."""

    list_display = (
        "name",
        "owner",
        "slug",
        "condition",
        "number",
        "created_at",
        "page",
    )
    list_filter = ("condition", "owner")
    list_select_related = ("owner",)
    search_fields = ("name", "slug", "owner__username")
    fields = (
        "owner",
        "name",
        "slug",
        "number",
        "condition",
        "created_at",
        "observed_at",
    )

    @admin.display(description="page")
    def page(self, testbed: Testbed) -> SafeString:
        """Link to the testbed's own page."""
        return format_html('<a href="{}">open</a>', reverse("testbed", args=[testbed]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: testbeds are created with their files, on their own page."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Testbed | None = None
    ) -> bool:
        """Return False: a new owner's limits are compared on the testbed's page."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Testbed | None = None
    ) -> bool:
        """Return False: testbeds are deleted on their own page, which checks first."""
        return False


class InstructionInline(InstructionBase):
    """A run's instructions with their results."""

    model = Instruction
    fields = readonly_fields = ("index", "stage", "title", "status", "message")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        """Return False: only a plan makes instructions."""
        return False


@admin.register(Run)
class RunAdmin(WithoutSlugs, RunBase):
    """Runs, read-only."""

    list_display = (
        "id",
        "testbed",
        "command",
        "status",
        "asked_by",
        "created_at",
        "ended_at",
        "page",
    )
    list_filter = ("status", "command", "asked_by")
    list_select_related = ("testbed__owner", "asked_by")
    search_fields = ("testbed__name", "testbed__slug", "asked_by__username", "message")
    date_hierarchy = "created_at"
    exclude = ("plan",)
    inlines = (InstructionInline,)

    @admin.display(description="page")
    def page(self, run: Run) -> SafeString:
        """Link to the run's own page."""
        return format_html('<a href="{}">open</a>', reverse("run", args=[run.pk]))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Leave out the plan, which is large."""
        return super().get_queryset(request).defer("plan")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: runs are started on a testbed's page."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Run | None = None
    ) -> bool:
        """Return False: runs are records."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Run | None = None
    ) -> bool:
        """Return False: runs are kept and deleted with their testbed."""
        return False


@admin.register(LoginCount)
class LoginCountAdmin(WithoutSlugs, LoginCountBase):
    """Attempts to sign in within the last minutes; deleting a row unlocks."""

    list_display = ("subject", "attempts", "since")
    search_fields = ("subject",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: only attempts are counted."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: LoginCount | None = None
    ) -> bool:
        """Return False: a count is deleted, not changed."""
        return False


@admin.register(Allowance)
class AllowanceAdmin(WithoutSlugs, AllowanceBase):
    """Limits of users who may have more, or less, than the others."""

    list_display = (
        "user",
        *QUOTA,
        "sockets",
        "testbed_mib",
        "user_mib",
        "testbed_disk_gib",
        "testbed_log_mib",
        "user_log_mib",
    )
    list_select_related = ("user",)
    search_fields = ("user__username",)
    fieldsets = (
        (None, {"fields": ("user",)}),
        ("Quota of the testbeds that are charged to the user", {"fields": QUOTA}),
        ("Disks of one testbed", {"fields": ("testbed_disk_gib",)}),
        (
            "Files, logs and open pages",
            {
                "fields": (
                    "testbed_mib",
                    "user_mib",
                    "testbed_log_mib",
                    "user_log_mib",
                    "sockets",
                )
            },
        ),
    )

    def save_model(
        self,
        request: HttpRequest,
        obj: Allowance,
        form: "ModelForm[Allowance]",
        change: bool,
    ) -> None:
        """Save it, and say when the user has more already."""
        super().save_model(request, obj, form, change)
        _warn(request, obj.user)


@admin.register(GroupAllowance)
class GroupAllowanceAdmin(WithoutSlugs, GroupAllowanceBase):
    """Quotas of groups: with one, a member's testbed can be charged to the group."""

    list_display = ("group", *QUOTA)
    list_select_related = ("group",)
    search_fields = ("group__name",)
    fields = ("group", *QUOTA)

    def save_model(
        self,
        request: HttpRequest,
        obj: GroupAllowance,
        form: "ModelForm[GroupAllowance]",
        change: bool,
    ) -> None:
        """Save it, and say when the group has more already."""
        super().save_model(request, obj, form, change)
        _warn(request, obj.group)


def _warn(request: HttpRequest, account: Account) -> None:
    """Say what is above a quota that was just saved."""
    over = overuse_of(account, used_by(account))
    if over:
        text = (
            f"The testbeds of {name_of(account)} use more than this quota: {over}. "
            "Nothing is stopped; Up is refused where it needs more."
        )
        messages.warning(request, text)
