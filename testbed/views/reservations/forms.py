"""The form of a reservation: what is typed, with an error at each wrong field."""

from collections.abc import Mapping
from typing import cast
from zoneinfo import ZoneInfo

from django import forms
from django.contrib.auth.models import User
from django.http import QueryDict

from orchestration.state.placement import Taken
from testbed.access.limits import Account, name_of
from testbed.models import Host, Reservation
from testbed.models.reservations.rows import MOST_PURPOSE
from testbed.reservations.bounds import MOST_AMOUNT
from testbed.reservations.holders import holders_for
from testbed.reservations.moments import MOST_TEXT, NoMoment, moment, zones
from testbed.reservations.wishes import Wish

TYPED = "%Y-%m-%dT%H:%M"
AT_A_TIME = {"type": "datetime-local"}


class ReservationForm(forms.Form):
    """A reservation's host, amounts, time, holder and purpose.

    Programs may leave out the host, the time zone, the holder and the purpose; and all
    that a change leaves as it is.
    """

    host = forms.ChoiceField(required=False, help_text="Any host: the emptiest one.")
    vcpus = forms.IntegerField(label="vCPUs", min_value=1, max_value=MOST_AMOUNT)
    memory_mib = forms.IntegerField(
        label="Memory in MiB", min_value=1, max_value=MOST_AMOUNT
    )
    begins = forms.CharField(
        label="From",
        max_length=MOST_TEXT,
        widget=forms.DateTimeInput(attrs=AT_A_TIME),
    )
    ends = forms.CharField(
        label="Until",
        max_length=MOST_TEXT,
        widget=forms.DateTimeInput(attrs=AT_A_TIME),
    )
    zone = forms.ChoiceField(label="Time zone of both", required=False)
    holder = forms.ChoiceField(
        label="For",
        required=False,
        help_text="The guests of this user's testbeds, or of those of the group's "
        "members, may use it.",
    )
    purpose = forms.CharField(
        required=False,
        max_length=MOST_PURPOSE,
        help_text="Shown to its holder, of a group its members and managers, and to lab "
        "admins.",
    )

    def __init__(
        self,
        data: QueryDict | None,
        user: User,
        *,
        initial: Mapping[str, object] | None = None,
        row: Reservation | None = None,
    ) -> None:
        first = _initial(row) if row else {"memory_mib": 4096, "vcpus": 2}
        if row is not None and data is not None:
            data = _completed(data, row)
        super().__init__(data, initial=first | dict(initial or {}))
        self.user, self.row, self.holders = user, row, holders_for(user)
        names = list(Host.objects.values_list("name", flat=True))
        _offer(self.fields["host"], [("", "any host"), *((n, n) for n in names)])
        _offer(self.fields["zone"], [(zone, zone) for zone in zones()])
        if row is not None:
            del self.fields["holder"]
            seen = forms.IntegerField(widget=forms.HiddenInput, required=False)
            self.fields["seen"] = seen
        else:
            _offer(self.fields["holder"], [(name, name) for name in self.holders])

    def clean(self) -> dict[str, object]:
        """Read both times in the zone that is chosen."""
        values = super().clean() or self.cleaned_data
        for name in ("begins", "ends"):
            if name not in values:
                continue
            try:
                values[name] = moment(str(values[name]), str(values.get("zone", "")))
            except NoMoment as exc:
                self.add_error(name, exc.sentence)
        return values

    @property
    def wish(self) -> Wish:
        """The reservation that a valid form asks for."""
        values = self.cleaned_data
        return Wish(
            values["host"],
            Taken(values["vcpus"], values["memory_mib"]),
            values["begins"],
            values["ends"],
            values["purpose"],
        )

    @property
    def account(self) -> Account:
        """The holder that a valid form names; its user where it names none."""
        return self.holders[self.cleaned_data["holder"] or name_of(self.user)]

    @property
    def seen(self) -> int:
        """The version that was changed; a program that names none changes the last."""
        version = self.row.version if self.row else 0
        seen = self.cleaned_data.get("seen")
        return version if seen is None else int(seen)


def _offer(field: forms.Field, choices: list[tuple[str, str]]) -> None:
    cast(forms.ChoiceField, field).choices = choices


def _initial(row: Reservation) -> dict[str, object]:
    zone = _zone_of(row)
    return {
        "host": row.host_name,
        "vcpus": row.vcpus,
        "memory_mib": row.memory_mib,
        "begins": row.begins_at.astimezone(ZoneInfo(zone)).strftime(TYPED),
        "ends": row.ends_at.astimezone(ZoneInfo(zone)).strftime(TYPED),
        "zone": zone,
        "purpose": row.purpose,
        "seen": row.version,
    }


def _zone_of(row: Reservation) -> str:
    """Return the zone in which both times can be typed: not all can in the lab's."""
    for zone in zones():
        here = ZoneInfo(zone)
        try:
            for at in (row.begins_at, row.ends_at):
                moment(at.astimezone(here).strftime(TYPED), zone)
        except NoMoment:
            continue
        return zone
    return "UTC"


def _completed(data: QueryDict, row: Reservation) -> QueryDict:
    """Return what was sent, with the present value of each field that was left out."""
    now = {
        "host": row.host_name if row.host else "",
        "vcpus": str(row.vcpus),
        "memory_mib": str(row.memory_mib),
        "begins": row.begins_at.isoformat(),
        "ends": row.ends_at.isoformat(),
        "purpose": row.purpose,
    }
    whole = data.copy()
    for name, value in now.items():
        whole.setdefault(name, value)
    return whole
