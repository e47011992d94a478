"""Traffic between guests, counted by the guests' own kernels.

An echo request is counted before anything decides whether to answer it, broadcasts
too: one that arrives twice is seen, and one of a stranger as well.
"""

from tests.live.watch import Guest, wait_until

BROADCASTS = 50
REQUESTS = 3
PING = "/usr/bin/ping -q"


def echoes_received(guest: Guest) -> int:
    """Return how many echo requests have reached a guest since its boot."""
    lines = guest.run("grep ^IcmpMsg: /proc/net/snmp || true").splitlines()
    counts = dict(zip(*(line.split() for line in lines), strict=True)) if lines else {}
    return int(counts.get("InType8", 0))


def broadcast(guest: Guest, address: str) -> None:
    """Send echo requests to everybody, which nobody answers; the sender hears them."""
    guest.run(f"{PING} -b -c {BROADCASTS} -i 0.02 -W 1 {address} || true")


def reached(guest: Guest, address: str) -> int:
    """Ask until all of three requests are answered; return how many were sent.

    ping waits for its last answer no longer than the others took.
    """
    tries: list[int] = []

    def is_reached() -> bool:
        tries.append(answers(guest, address))
        return tries[-1] == REQUESTS

    wait_until(is_reached, f"{address} does not answer three times")
    return REQUESTS * len(tries)


def answers(guest: Guest, address: str) -> int:
    """Return how many of three echo requests an address or name answers a guest."""
    said = guest.run(f"{PING} -c {REQUESTS} -i 0.2 -W 5 {address} 2>&1 || true")
    assert "duplicates" not in said, said
    return int(said.split(" received")[0].split()[-1]) if " received" in said else 0
