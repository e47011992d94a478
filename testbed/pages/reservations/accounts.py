"""The reservations of each account in words, for the page of quotas."""

from django.db.models import Case, When
from django.db.models.functions import Now

from orchestration.amounts import count_of
from orchestration.state.placement import Taken
from testbed.access.limits import AccountKey, key_of_row
from testbed.models import Reservation
from testbed.reservations.wishes import amount


def reserved_words() -> dict[AccountKey, str]:
    """Return what is reserved for accounts now, and how much is to come (one query)."""
    begun = Case(When(begins_at__lte=Now(), then=True), default=False)
    rows = Reservation.objects.claiming().not_over().annotate(has_begun=begun)
    fields = ("user_id", "group_id", "vcpus", "memory_mib", "has_begun")
    current: dict[AccountKey, Taken] = {}
    coming: dict[AccountKey, int] = {}
    for user, group, vcpus, memory_mib, has_begun in rows.values_list(*fields):
        key = key_of_row(user or 0, group)
        need = Taken(vcpus, memory_mib) if has_begun else Taken()
        current[key] = current.get(key, Taken()) + need
        coming[key] = coming.get(key, 0) + (not has_begun)
    return {key: _words(need, coming[key]) for key, need in current.items()}


def _words(need: Taken, coming: int) -> str:
    said = [f"{amount(need)} now"] if need != Taken() else []
    said += [f"{count_of(coming, 'reservation')} to come"] if coming else []
    return ", ".join(said)
