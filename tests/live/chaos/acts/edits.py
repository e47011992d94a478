"""Acts that edit a testbed's files, mostly with the Up that applies the edit."""

from dataclasses import replace

from testbed.client.rest.problems import ServerProblem
from tests.live.chaos.acts.act import Act, Family, anywhere, up
from tests.live.chaos.lab import SETUP, Lab, Testbed
from tests.live.chaos.yaml import Machine, Written

THIRD = "third"
EXTRA = "alone"
STEP_MIB = 16
MOST_MIB = 192
LOUD = "#!/bin/sh\nyes loud | head -c 20000000\n"


def change_memory(lab: Lab, testbed: Testbed) -> None:
    """More memory for one guest restarts it, and no other."""
    written = testbed.written
    name = lab.random.choice(sorted(written.machines))
    machine = written.machines[name]
    size = machine.memory_mib + STEP_MIB
    changed = replace(machine, memory_mib=size if size <= MOST_MIB else 128)
    _apply(lab, testbed, _with(written, name, changed), name)


def add_guest(lab: Lab, testbed: Testbed) -> None:
    """A guest more starts; the others run on."""
    bridge = lab.random.choice(testbed.written.bridges)
    _apply(lab, testbed, _with(testbed.written, THIRD, Machine((bridge,))), THIRD)


def remove_guest(lab: Lab, testbed: Testbed) -> None:
    """A guest less goes with its disk; the others run on."""
    state = lab.state(testbed)
    assert state is not None
    gone = state.guest(THIRD)
    rest = {n: m for n, m in testbed.written.machines.items() if n != THIRD}
    _apply(lab, testbed, replace(testbed.written, machines=rest), THIRD)
    facts = lab.look()[gone.host]
    lab.require(gone.domain not in facts.domains, f"{gone.domain} is still defined")
    lab.require(gone.disk not in facts.files, f"{gone.disk} is still there")


def add_interface(lab: Lab, testbed: Testbed) -> None:
    """One more bridge, and an interface on it, come while the guests run."""
    name = lab.random.choice(sorted(testbed.written.machines))
    machine = testbed.written.machines[name]
    more = replace(machine, bridges=(*machine.bridges, EXTRA))
    bridges = (*testbed.written.bridges, EXTRA)
    _apply(lab, testbed, replace(_with(testbed.written, name, more), bridges=bridges))


def remove_interface(lab: Lab, testbed: Testbed) -> None:
    """The bridge more goes, with the interfaces on it, while the guests run."""
    written = testbed.written
    rest = {
        name: replace(m, bridges=tuple(b for b in m.bridges if b != EXTRA))
        for name, m in written.machines.items()
    }
    bridges = tuple(b for b in written.bridges if b != EXTRA)
    _apply(lab, testbed, replace(written, machines=rest, bridges=bridges))


def edit_only(lab: Lab, testbed: Testbed) -> None:
    """An edit without Up touches nothing; the next Up restarts the guest."""
    name = lab.random.choice(sorted(testbed.written.machines))
    machine = testbed.written.machines[name]
    size = 128 if machine.memory_mib >= MOST_MIB else machine.memory_mib + STEP_MIB
    lab.write(testbed, _with(testbed.written, name, replace(machine, memory_mib=size)))
    testbed.restarts.add(name)
    lab.say(f"    {name} has {size} MiB")


def break_yaml(lab: Lab, testbed: Testbed) -> None:
    """Up of a broken YAML is refused, and touches nothing."""
    whole = testbed.written
    _machine = Machine(("nowhere",))
    lab.write(testbed, _with(whole, THIRD, _machine))
    try:
        testbed.client.start(testbed.slug, "up")
    except ServerProblem as refusal:
        said = f"{refusal} {refusal.body}"
        lab.require("nowhere" in said, f"the refusal says {said}")
    else:
        lab.require(False, f"up of a broken YAML of {testbed.slug} was not refused")
    lab.write(testbed, whole)


def print_without_end(lab: Lab, testbed: Testbed) -> None:
    """A script that prints 20 MB costs its own run, and no more than a part of the log."""
    lab.write(testbed, testbed.written, script=LOUD)
    done = lab.succeeds(testbed, "up", rerun_scripts=True)
    size = sum(len(frame.get("text", "")) for frame in done.frames)
    lab.require(size < 10_000_000, f"the log has {size} bytes")
    lab.write(testbed, testbed.written, script=SETUP)


def _with(written: Written, name: str, machine: Machine) -> Written:
    return replace(written, machines=written.machines | {name: machine})


def _apply(lab: Lab, testbed: Testbed, written: Written, *restarted: str) -> None:
    lab.write(testbed, written)
    lab.touch(testbed, *restarted)
    lab.succeeds(testbed, "up")


def without_third(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are up without the guest more."""
    return [t for t in up(lab) if THIRD not in t.written.machines]


def with_third(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are up with it."""
    return [t for t in up(lab) if THIRD in t.written.machines]


def without_extra(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are up without the bridge more."""
    return [t for t in up(lab) if EXTRA not in t.written.bridges]


def with_extra(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are up with it."""
    return [t for t in up(lab) if EXTRA in t.written.bridges]


def with_script(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are up and have a setup script."""
    return [t for t in up(lab) if t.written.has_script]


ACTS = (
    Act(Family.EDIT, "change a guest's memory", up, change_memory),
    Act(Family.EDIT, "add a guest", without_third, add_guest),
    Act(Family.EDIT, "remove a guest", with_third, remove_guest),
    Act(Family.EDIT, "add an interface", without_extra, add_interface),
    Act(Family.EDIT, "remove an interface", with_extra, remove_interface),
    Act(Family.EDIT, "edit without up", up, edit_only),
    Act(Family.EDIT, "break the YAML", anywhere, break_yaml),
    Act(Family.FILL, "print without end", with_script, print_without_end),
)
