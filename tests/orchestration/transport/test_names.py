"""Names of hosts, as main's resolver knows them."""

import pytest

from orchestration.errors import HostUnreachable
from orchestration.transport.names import addresses_in, addresses_of, own_addresses


def test_address_is_its_own_address_and_localhost_has_ipv4_first() -> None:
    assert addresses_of("192.0.2.7") == ("192.0.2.7",)
    assert addresses_of("2001:db8::7") == ("2001:db8::7",)
    assert addresses_of("localhost")[0] == "127.0.0.1"


TRIE = """\
Local:
  +-- 0.0.0.0/0 4 0 12
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
"""
TABLE = "20010db8000000000000000000000007 02 40 00 80     eth0\n"


def test_own_addresses_are_those_of_the_kernels_tables() -> None:
    assert addresses_in(TRIE, TABLE) == {"192.0.2.2", "2001:db8::7"}
    assert addresses_in("", "") == frozenset()
    assert "127.0.0.1" in own_addresses()


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 300, "\udcff"])
def test_name_that_nobody_knows_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(HostUnreachable, match="is not known") as caught:
        addresses_of(name)

    assert "/etc/hosts" in caught.value.hint
