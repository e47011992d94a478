"""A task's leftover processes are ended, or reported as unknown."""

import pytest

from orchestration.errors import HostUnreachable
from orchestration.transport.base import Ended, Process, Scope
from orchestration.transport.processes.leftovers import (
    ask_again,
    end_left,
    is_unknown,
    words_of,
)
from tests.orchestration.transport.conftest import carriers, names_of
from tests.orchestration.transport.shell import sh
from tests.waiting import wait_until


class Silent:
    """A machine that does not answer; counts how often it was asked."""

    machine = "far"

    def __init__(self):
        self.asked = 0

    def end(self, tag):
        self.asked += 1
        raise HostUnreachable("far does not answer.")


def test_command_is_noted_where_it_was_started(machine, scope, tmp_path):
    machine.run(sh("true"), scope=scope)
    machine.put(b"x", str(tmp_path / "x"), scope=Scope())

    assert scope.entered == {machine}


def test_background_process_of_a_command_is_ended_with_proof(machine, scope):
    machine.run(sh("sleep 600 > /dev/null 2>&1 &"), scope=scope)
    wait_until(lambda: names_of(carriers(scope.tag)) == ["sleep 600"])
    (pid,) = carriers(scope.tag)

    end_left(scope, scope.entered)

    assert carriers(scope.tag) == []
    assert scope.ended == [Ended(machine.machine, (Process(pid, "sleep 600"),), ())]


def test_silent_machine_is_admitted_and_asked_once():
    scope, silent = Scope("12.1"), Silent()

    end_left(scope, [silent])
    end_left(scope, [silent])

    assert silent.asked == 1
    (proof,) = scope.ended
    assert is_unknown(proof)
    assert proof.survivors[0].name == "not asked: far does not answer."


def test_machine_that_is_back_is_asked_for_a_proof(machine, scope):
    machine.run(sh("sleep 600 > /dev/null 2>&1 &"), scope=scope)
    wait_until(lambda: names_of(carriers(scope.tag)) == ["sleep 600"])
    (pid,) = carriers(scope.tag)
    other = Ended("other", (), (Process(0, "not asked"),))
    scope.ended += [Ended(machine.machine, (), (Process(0, "sleep"),)), other]

    ask_again(scope, machine)

    found = (Process(pid, "sleep 600"),)
    assert scope.ended == [other, Ended(machine.machine, found, ())]


def test_machine_that_was_known_is_not_asked_again():
    far, scope = Silent(), Scope("12.1")
    scope.ended.append(Ended("far", (), ()))

    ask_again(scope, far)

    assert far.asked == 0


@pytest.mark.parametrize(
    ("proofs", "words"),
    [
        ([], ""),
        ([Ended("web", (), (), True)], "All its processes have ended."),
        ([Ended("web", (), ())], "No process that carries its mark is left."),
        (
            [Ended("web", (), (), True), Ended("main", (), ())],
            "No process that carries its mark is left.",
        ),
        ([Ended("web", (), (), False)], "No process that carries its mark is left."),
        ([Ended("web", (), (Process(0, "not asked"),), True)], ""),
    ],
)
def test_no_more_is_claimed_than_was_proven(proofs, words):
    assert words_of(proofs) == words
