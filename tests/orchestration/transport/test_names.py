"""Names of hosts, as main's resolver knows them."""

import pytest

from orchestration.errors import HostUnreachable
from orchestration.transport.names import addresses_of


def test_address_is_its_own_address_and_localhost_has_ipv4_first() -> None:
    assert addresses_of("192.0.2.7") == ("192.0.2.7",)
    assert addresses_of("2001:db8::7") == ("2001:db8::7",)
    assert addresses_of("localhost")[0] == "127.0.0.1"


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 300, "\udcff"])
def test_name_that_nobody_knows_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(HostUnreachable, match="is not known") as caught:
        addresses_of(name)

    assert "/etc/hosts" in caught.value.hint
