"""A reservation as it is asked for, and amounts in words.

Made by the form; `changes.py` grants it. Rows become claims on a timeline here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from orchestration.amounts import count_of, mib
from orchestration.errors import TestbedError
from orchestration.state.placement import Taken
from testbed.models import Host, Reservation
from testbed.reservations.moments import period
from testbed.reservations.timeline import Claim


class ReservationRefused(TestbedError):
    """A reservation is not possible so; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A reservation as it is asked for; without a host the emptiest one is chosen."""

    host: str
    need: Taken
    begins_at: datetime
    ends_at: datetime
    purpose: str = ""

    def on(self, whole: Taken) -> Claim:
        """Return its time with all that a host has."""
        return Claim(self.begins_at, self.ends_at, whole)

    @property
    def words(self) -> str:
        """Its amounts in words."""
        return amount(self.need)


def amount(need: Taken) -> str:
    """Return an amount in words: `4 vCPUs and 8 GiB of memory`."""
    return f"{count_of(need.cpus, 'vCPU')} and {mib(need.memory_mib)} of memory"


def need_of(reservation: Reservation) -> Taken:
    """Return a reservation's amount."""
    return Taken(reservation.vcpus, reservation.memory_mib)


def in_full(reservation: Reservation) -> str:
    """Return amount, host, time and holder in words."""
    return (
        f"{amount(need_of(reservation))} of {reservation.host_name} for "
        f"{reservation.holder_name}, {period(reservation.begins_at, reservation.ends_at)}"
    )


def is_part_of(wish: Wish, reservation: Reservation) -> bool:
    """Return whether a wish has nothing that the reservation does not have already."""
    return (
        wish.host == reservation.host_name
        and reservation.begins_at <= wish.begins_at
        and wish.ends_at <= reservation.ends_at
        and wish.need.cpus <= reservation.vcpus
        and wish.need.memory_mib <= reservation.memory_mib
    )


def whole_of(host: Host) -> Taken:
    """Return the most that guests may have on a host; nothing while it is unknown."""
    return Taken(host.most_vcpus, host.most_memory_mib)


def claims_of(rows: Iterable[Reservation]) -> list[Claim]:
    """Return the claims of reservations."""
    return [Claim(one.begins_at, one.ends_at, need_of(one)) for one in rows]
