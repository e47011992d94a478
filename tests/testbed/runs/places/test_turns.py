"""The queue's order, and what is kept for the runs in it."""

from hypothesis import given
from hypothesis import strategies as st

from orchestration.state.placement import Taken
from testbed.runs.places.turns import Rest, Waiting, in_order, turns

PLENTY = {"olive": 9, "mark": 9}


def started(waiting, runs=None, **hosts):
    found = turns(waiting, Rest(runs or PLENTY, hosts))
    return [turn.run for turn in found if not turn.obstacle]


def test_first_run_of_each_account_comes_before_any_second():
    waiting = [
        Waiting(1, "olive"),
        Waiting(2, "olive"),
        Waiting(3, "olive"),
        Waiting(4, "mark"),
        Waiting(5, "mark"),
    ]

    assert [one.run for one in in_order(waiting)] == [1, 4, 2, 5, 3]


def test_account_starts_as_many_as_it_has_left():
    waiting = [Waiting(1, "olive"), Waiting(2, "olive"), Waiting(3, "mark")]

    found = turns(waiting, Rest({"olive": 1, "mark": 0}, {}))

    assert [(turn.run, turn.place, bool(turn.obstacle)) for turn in found] == [
        (1, 1, False),
        (3, 2, True),
        (2, 3, True),
    ]
    assert found[1].obstacle == (
        "Other runs of its account have to end first: the quota allows no more at once."
    )


def test_reason_names_host_need_and_rest():
    one = Waiting(1, "olive", {"host-b": Taken(6, 4096), "main": Taken(1, 512)})

    (turn,) = turns(
        [one], Rest(PLENTY, {"host-b": Taken(4, 1024), "main": Taken(9, 9999)})
    )

    assert turn.obstacle == (
        "It needs 6 of 4 vCPUs left and 4 GiB of 1 GiB of memory left on host-b. Other "
        "testbeds there have to go down first."
    )


def test_more_than_a_host_has_is_no_reason_where_nothing_is_added():
    one = Waiting(1, "olive", {"main": Taken(0, 512)})

    assert started([one], main=Taken(-3, 512)) == [1]


def test_host_is_kept_for_the_run_that_came_first():
    large = Waiting(1, "olive", {"main": Taken(8, 0), "host-b": Taken(1, 0)})
    small = Waiting(2, "mark", {"host-b": Taken(1, 0)})
    elsewhere = Waiting(3, "mark", {"host-c": Taken(1, 0)})
    rest = {"main": Taken(4, 0), "host-b": Taken(4, 0), "host-c": Taken(4, 0)}

    found = turns([large, small, elsewhere], Rest(PLENTY, rest))

    assert [turn.run for turn in found if not turn.obstacle] == [3]
    assert found[1].obstacle == "A run that came before needs host-b, too."


def test_run_that_waited_long_keeps_no_host():
    large = Waiting(1, "olive", {"main": Taken(8, 0)}, keeps=False)
    small = Waiting(2, "mark", {"main": Taken(1, 0)})

    assert started([large, small], main=Taken(4, 0)) == [2]


def test_run_that_waits_for_its_own_account_keeps_no_host():
    first = Waiting(1, "olive", {"main": Taken(1, 0)})
    second = Waiting(2, "mark", {"main": Taken(1, 0)})

    assert started([first, second], {"olive": 0, "mark": 1}, main=Taken(4, 0)) == [2]


def test_run_that_is_held_up_takes_and_keeps_nothing():
    first = Waiting(1, "olive", {"main": Taken(4, 0)}, held_up="A command runs.")
    second = Waiting(2, "mark", {"main": Taken(4, 0)})

    assert started([first, second], main=Taken(4, 0)) == [2]


amounts = st.builds(Taken, st.integers(0, 9), st.integers(0, 9))
waits = st.lists(
    st.tuples(
        st.sampled_from(sorted(PLENTY)),
        st.dictionaries(st.sampled_from(["main", "host-b"]), amounts),
        st.booleans(),
    ),
    max_size=9,
)


@given(waits, st.integers(0, 4), st.integers(0, 4), amounts, amounts)
def test_never_more_starts_than_is_left(found, olive, mark, main, other):
    waiting = {
        number: Waiting(number, account, adds, keeps=keeps)
        for number, (account, adds, keeps) in enumerate(found)
    }
    runs, hosts = {"olive": olive, "mark": mark}, {"main": main, "host-b": other}

    chosen = [
        waiting[turn.run]
        for turn in turns(waiting.values(), Rest(runs, hosts))
        if not turn.obstacle
    ]

    for account, most in runs.items():
        assert sum(one.account == account for one in chosen) <= most
    for host, most in hosts.items():
        taken = [one.adds[host] for one in chosen if host in one.adds]
        assert sum(one.cpus for one in taken) <= most.cpus
        assert sum(one.memory_mib for one in taken) <= most.memory_mib


def test_stuck_run_does_not_put_the_next_of_its_account_behind_all():
    waiting = [
        Waiting(1, "olive", held_up="Commands run on its testbed."),
        Waiting(2, "olive"),
        Waiting(3, "mark"),
        Waiting(4, "olive"),
    ]

    assert [one.run for one in in_order(waiting)] == [1, 2, 3, 4]
