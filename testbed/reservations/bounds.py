"""Bounds reservations: possible times, the lab's settings, and the holder's quota."""

from datetime import datetime, timedelta

from django.conf import settings

from orchestration.amounts import count_of
from orchestration.state.placement import Taken
from testbed.access.limits import Account, limits_of, name_of
from testbed.models import Reservation
from testbed.reservations.moments import in_words
from testbed.reservations.timeline import fits, most
from testbed.reservations.wishes import (
    ReservationRefused,
    Wish,
    amount,
    claims_of,
)

# Of lab admins; users have the settings' bounds.
LATEST = timedelta(days=366)
MOST_OF_A_HOLDER = 50
MOST_AMOUNT = 2**31 - 1
HOUR = timedelta(hours=1)


def require_time(wish: Wish, now: datetime, *, is_begun: bool = False) -> None:
    """Refuse amounts and times that no host can have. Raises: ReservationRefused."""
    if not (
        0 < wish.need.cpus <= MOST_AMOUNT and 0 < wish.need.memory_mib <= MOST_AMOUNT
    ):
        raise ReservationRefused(
            "A reservation needs at least 1 vCPU and 1 MiB of memory.",
            hint="Guests need both.",
        )
    if wish.ends_at <= wish.begins_at:
        raise ReservationRefused(
            f"The end, {in_words(wish.ends_at)}, is not after the begin, "
            f"{in_words(wish.begins_at)}.",
            hint="Choose a later end.",
        )
    past = wish.ends_at if is_begun else wish.begins_at
    if past < this_minute(now) or wish.ends_at <= now:
        raise ReservationRefused(
            f"{in_words(past)} is in the past: it is {in_words(now)} now.",
            hint="Choose a time that is to come.",
        )
    if wish.ends_at > now + LATEST:
        raise ReservationRefused(
            f"{in_words(wish.ends_at)} is more than {LATEST.days} days from now.",
            hint=f"Choose an end until {in_words(now + LATEST)}.",
        )


def require_limits(
    wish: Wish,
    holder: Account,
    now: datetime,
    but: Reservation | None = None,
    since: datetime | None = None,
) -> None:
    """Hold users to the lab's settings and the holder's quota.

    The wish is in place of the reservation `but`, which may have begun at `since`.
    Raises: ReservationRefused.
    """
    bounds = settings.RESERVATIONS
    if not bounds.ahead:
        raise ReservationRefused(
            "In this lab, only lab admins make reservations.", hint="Ask one of them."
        )
    ask = "Ask a lab admin for more."
    if wish.begins_at > now + bounds.ahead:
        raise ReservationRefused(
            f"{in_words(wish.begins_at)} is more than {count_of(bounds.ahead.days, 'day')} "
            "from now.",
            hint=f"Choose a begin until {in_words(now + bounds.ahead)}. {ask}",
        )
    begins_at = since or wish.begins_at
    if wish.ends_at - begins_at > bounds.longest:
        hours = count_of(bounds.longest // HOUR, "hour")
        raise ReservationRefused(
            f"A reservation is for at most {hours}.",
            hint=f"Choose an end until {in_words(begins_at + bounds.longest)}. {ask}",
        )
    others = Reservation.objects.claiming().of(holder)
    others = others.filter(ends_at__gt=now).exclude(pk__in=[but.pk] if but else [])
    if others.count() >= MOST_OF_A_HOLDER:
        raise ReservationRefused(
            f"{name_of(holder)} has {MOST_OF_A_HOLDER} reservations, and no more are "
            "allowed.",
            hint="Cancel one that is not needed.",
        )
    quota = limits_of(holder).use
    allowed = Taken(quota.vcpus, quota.memory_mib)
    claims = claims_of(others.between(wish.begins_at, wish.ends_at))
    if not fits(wish.need, claims, wish.on(allowed)):
        used = most(claims, wish.begins_at, wish.ends_at)
        also = f", and has reserved {amount(used)} at that time" if claims else ""
        raise ReservationRefused(
            f"{name_of(holder)} may reserve as much as its quota allows at a time, "
            f"{amount(allowed)}{also}: {wish.words} is too much.",
            hint=f"Reserve less, or at another time. {ask}",
        )


def this_minute(now: datetime) -> datetime:
    """Return the present minute, as forms have it."""
    return now.replace(second=0, microsecond=0)
