"""Django admin for the snapshots of all testbeds and hosts, and the acts that wait.

Rows are those of the last look. The acts of the list lead to a question on a page of the
product (`views/guests/lab_snapshots.py`), which asks for rights, protections and limits as a
testbed's own page does. An act that waits is given up by deleting its row.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestration.amounts import size
from orchestration.plan.snapshots import SnapshotVerb
from testbed.admin.scripts import WithoutSlugs
from testbed.models import LabSnapshot, ObservedSnapshots, SnapshotOrder
from testbed.models.snapshots.lab import MOST_CHOSEN
from testbed.models.testbeds import Testbed

if TYPE_CHECKING:  # these classes take type arguments in their stubs only
    LabSnapshotBase = admin.ModelAdmin[LabSnapshot]
    SnapshotOrderBase = admin.ModelAdmin[SnapshotOrder]
else:
    LabSnapshotBase = SnapshotOrderBase = admin.ModelAdmin

GIB = 1024**3
DAYS = {"1": "1 day", "7": "7 days", "30": "30 days", "90": "90 days"}
LEAST = {"1": "1 GiB or more", "10": "10 GiB or more", "100": "100 GiB or more"}
# Testbeds and hosts with the largest disks that the totals name.
SHOWN = 20
Rows = QuerySet[LabSnapshot]
Lookups = Iterable[tuple[str, str]]


class AgeFilter(admin.SimpleListFilter):
    """By the time since a snapshot was taken."""

    title, parameter_name = "age", "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        """Return younger and older than each number of days."""
        younger = [(f"-{days}", f"under {words}") for days, words in DAYS.items()]
        older = [(days, f"over {words}") for days, words in DAYS.items()]
        return [*younger, *older]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Return the snapshots of that age."""
        value = self.value() or ""
        days = value.removeprefix("-")
        if days not in DAYS:
            return queryset
        limit = timezone.now() - timedelta(days=int(days))
        is_younger = value != days
        word = "taken_at__gt" if is_younger else "taken_at__lte"
        return queryset.filter(**{word: limit})


class SizeFilter(admin.SimpleListFilter):
    """By what its guest's disk takes with all its snapshots."""

    title, parameter_name = "disk with snapshots", "disk"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        """Return the limits."""
        return LEAST.items()

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Return the snapshots in disks of at least that size."""
        if self.value() not in LEAST:
            return queryset
        least = int(self.value() or 0) * GIB
        return queryset.filter(guest__disk_bytes__gte=least)


class Recorded:
    """Rows that are only read here: no one is added or changed, and lab admins see them."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether a user is a lab admin."""
        return _is_lab_admin(request)

    def has_view_permission(
        self, request: HttpRequest, obj: object | None = None
    ) -> bool:
        """Return whether a user is a lab admin."""
        return _is_lab_admin(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: a run takes snapshots, a question orders acts."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: object | None = None
    ) -> bool:
        """Return False: rows are what a look saw, or what a user asked for."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: object | None = None
    ) -> bool:
        """Return False: a run deletes a snapshot."""
        return False


@admin.register(LabSnapshot)
class LabSnapshotAdmin(Recorded, WithoutSlugs, LabSnapshotBase):
    """All snapshots of the lab, with totals of those that the filters leave."""

    change_list_template = "admin/snapshots.html"
    list_display = (
        "title",
        "guest_name",
        "testbed",
        "host",
        "owner",
        "taken",
        "stored",
        "disk",
        "taken_by",
        "is_current",
    )
    list_filter = (
        ("guest__testbed", admin.RelatedOnlyFieldListFilter),
        "guest__host",
        ("guest__testbed__owner", admin.RelatedOnlyFieldListFilter),
        AgeFilter,
        SizeFilter,
        "has_memory",
        "is_outside",
    )
    list_select_related = ("guest__testbed__owner",)
    list_per_page = 50
    search_fields = ("title", "name", "guest__name", "guest__testbed__name", "by")
    exclude = ("created_s",)
    actions = ("delete_them", "restore_keeping", "restore_them")

    @admin.display(description="guest", ordering="guest__name")
    def guest_name(self, found: LabSnapshot) -> str:
        """Return the guest's name."""
        return found.guest.name

    @admin.display(description="testbed", ordering="guest__testbed__name")
    def testbed(self, found: LabSnapshot) -> SafeString:
        """Link to the guest's own page of snapshots."""
        page = reverse("testbed-snapshots", args=[found.guest.testbed])
        query = urlencode({"guest": found.guest.name})
        return format_html('<a href="{}?{}">{}</a>', page, query, found.guest.testbed)

    @admin.display(description="host", ordering="guest__host")
    def host(self, found: LabSnapshot) -> str:
        """Return the host of the guest."""
        return found.guest.host

    @admin.display(description="owner", ordering="guest__testbed__owner__username")
    def owner(self, found: LabSnapshot) -> User:
        """Return the owner of the testbed."""
        return found.guest.testbed.owner

    @admin.display(description="taken at", ordering="taken_at")
    def taken(self, found: LabSnapshot) -> str:
        """Return its time, in few characters."""
        return _short(found.taken_at)

    @admin.display(description="memory", ordering="memory_bytes")
    def stored(self, found: LabSnapshot) -> str:
        """Return the stored memory."""
        if not found.has_memory:
            return "none, the disk alone"
        return size(found.memory_bytes) if found.memory_bytes else "stored"

    @admin.display(description="disk with all", ordering="guest__disk_bytes")
    def disk(self, found: LabSnapshot) -> str:
        """Return what the guest's disk takes with all its snapshots."""
        return size(found.guest.disk_bytes) if found.guest.disk_bytes else "not seen"

    @admin.display(description="taken by", ordering="by")
    def taken_by(self, found: LabSnapshot) -> str:
        """Return the user, or that another program took it."""
        return found.by or "made outside"

    @admin.action(description="Delete…")
    def delete_them(self, request: HttpRequest, rows: Rows) -> HttpResponse:
        """Ask before these are deleted."""
        return _asked(SnapshotVerb.DELETE, rows)

    @admin.action(description="Restore, and keep the present state as a snapshot…")
    def restore_keeping(self, request: HttpRequest, rows: Rows) -> HttpResponse:
        """Ask before guests return to these, with a snapshot of the present first."""
        return _asked(SnapshotVerb.RESTORE, rows, keep="on")

    @admin.action(description="Restore, and lose the present state…")
    def restore_them(self, request: HttpRequest, rows: Rows) -> HttpResponse:
        """Ask before guests return to these."""
        return _asked(SnapshotVerb.RESTORE, rows)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add totals, and the time of the oldest look, to Django's list."""
        answer = super().changelist_view(request, extra_context)
        if isinstance(answer, TemplateResponse) and answer.context_data:
            rows = answer.context_data["cl"].queryset
            reads = ObservedSnapshots.objects.order_by("observed_at")
            answer.context_data |= {
                "totals": [
                    ("Testbed", _totals(rows, "testbed__slug")),
                    ("Host", _totals(rows, "host")),
                ],
                "observed_at": reads.values_list("observed_at", flat=True).first(),
                "shown": SHOWN,
            }
        return answer


@admin.register(SnapshotOrder)
class SnapshotOrderAdmin(Recorded, WithoutSlugs, SnapshotOrderBase):
    """The acts that were asked for in the list, each with the run that it became."""

    list_display = (
        "act",
        "testbed",
        "on",
        "status",
        "outcome",
        "asked_by",
        "asked",
    )
    list_filter = ("status", "verb", "asked_by")
    list_select_related = ("testbed__owner", "asked_by", "run")
    search_fields = ("name", "testbed__name")

    @admin.display(description="act", ordering="verb")
    def act(self, order: SnapshotOrder) -> str:
        """Return the act in words."""
        return order.wish.sentence

    @admin.display(description="asked at", ordering="created_at")
    def asked(self, order: SnapshotOrder) -> str:
        """Return when it was asked for, in few characters."""
        return _short(order.created_at)

    @admin.display(description="guests")
    def on(self, order: SnapshotOrder) -> str:
        """Return the first guests."""
        first = ", ".join(order.guests[:3])
        more = len(order.guests) - 3
        return f"{first} and {more} more" if more > 0 else first

    @admin.display(description="run")
    def outcome(self, order: SnapshotOrder) -> SafeString | str:
        """Link to the run with its status; else say why there is none."""
        if order.run is None:
            return order.message or "none"
        page = reverse("run", args=[order.run.pk])
        words = f"run {order.run.pk}: {order.run.status}"
        return format_html('<a href="{}">{}</a>', page, words)

    def has_delete_permission(
        self, request: HttpRequest, obj: object | None = None
    ) -> bool:
        """Return whether the act may be given up: only while it waits."""
        is_waiting = (
            not isinstance(obj, SnapshotOrder)
            or obj.status == SnapshotOrder.Status.WAITING
        )
        return _is_lab_admin(request) and is_waiting

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[SnapshotOrder]
    ) -> None:
        """Give up those that wait; the others are records."""
        queryset.filter(status=SnapshotOrder.Status.WAITING).delete()

    def get_queryset(self, request: HttpRequest) -> QuerySet[SnapshotOrder]:
        """Leave out plans, which are large."""
        return super().get_queryset(request).defer("run__plan")


def _is_lab_admin(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_superuser


def _short(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def _asked(verb: SnapshotVerb, rows: Rows, *, keep: str = "") -> HttpResponse:
    picks = list(rows.values_list("pk", flat=True)[: MOST_CHOSEN + 1])
    query = urlencode({"verb": verb.value, "keep": keep, "pick": picks}, doseq=True)
    return redirect(f"{reverse('lab-snapshots-act')}?{query}")


def _totals(rows: Rows, by: str) -> list[dict[str, Any]]:
    """Sum the snapshots, their memory and the disks with them by testbed or host."""
    listed = rows.order_by().values(f"guest__{by}")
    counts = {
        row[f"guest__{by}"]: row
        for row in listed.annotate(count=Count("pk"), memory=Sum("memory_bytes"))
    }
    guests = ObservedSnapshots.objects.filter(pk__in=rows.order_by().values("guest"))
    disks = (
        guests.order_by()
        .values(by)
        .annotate(guests=Count("pk"), disk_bytes=Sum("disk_bytes"))
    )
    rows_of = Testbed.objects.select_related("owner").filter(slug__in=counts)
    names = {row.slug: row.full_name for row in rows_of} if "slug" in by else {}
    return [
        {**row, "name": names.get(row[by], row[by]), **counts[row[by]]}
        for row in disks.order_by("-disk_bytes")
        if row[by] in counts
    ]
