"""Reservations as rows, without the rules by which users make them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User

from testbed.models import Host, Reservation
from testbed.models.expiry import database_now

HOUR = timedelta(hours=1)
Reserved = Callable[..., Reservation]


@pytest.fixture
def reserved(db: None) -> Reserved:
    """Reserve from some hours from now on: `reserved(user, "host-b", vcpus=2)`."""

    def make(
        holder: User | Group,
        host: str,
        *,
        vcpus: int = 1,
        memory_mib: int = 1024,
        begin: float = -1,
        hours: float = 3,
        **fields: object,
    ) -> Reservation:
        now = database_now().replace(second=0, microsecond=0)
        is_group = isinstance(holder, Group)
        return Reservation.objects.create(
            host=Host.objects.get(name=host),
            host_name=host,
            vcpus=vcpus,
            memory_mib=memory_mib,
            begins_at=now + begin * HOUR,
            ends_at=now + (begin + hours) * HOUR,
            user=None if is_group else holder,
            group=holder if is_group else None,
            holder_name=f"group {holder}" if is_group else str(holder),
            made_by="ada",
            made_at=now,
            **fields,
        )

    return make
