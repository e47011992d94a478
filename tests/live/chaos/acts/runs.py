"""Acts of users: commands, also two at once, a stranger's, and ones that are cancelled."""

from concurrent.futures import ThreadPoolExecutor

from testbed.client.rest.problems import ServerProblem
from testbed.client.watching import Frame
from tests.live.chaos.acts.act import Act, Family, anywhere, deployed, down, up
from tests.live.chaos.lab import Lab, Testbed
from tests.live.client import Client
from tests.live.watch import Ran, cancel, followed

# About as many frames as an Up or a Down of such a testbed has.
FRAMES = 60


def bring_up(lab: Lab, testbed: Testbed) -> None:
    """Up succeeds, unless a guest runs on a disk that is gone."""
    state = lab.state(testbed)
    lost = []
    if state is not None:
        expected = lab.expected(state)
        missing = expected.missing()
        lost = [
            g.name
            for g in state.guests
            if f"disk of {g.name} is missing on {g.host}" in missing
            and expected.run_of(g)
        ]
    if lost:
        done = lab.run(testbed, "up")
        is_told = any(
            f"The disk of guest {name} is missing" in str(done.frames) for name in lost
        )
        lab.require(
            done.status == "failed" and is_told,
            f"up does not tell of the disk of {lost}: {done.words}",
        )
        lab.succeeds(testbed, "down")
        lab.look()
    lab.succeeds(testbed, "up")


def take_down(lab: Lab, testbed: Testbed) -> None:
    """Down leaves nothing of the testbed."""
    lab.succeeds(testbed, "down")
    lab.look()
    left = lab.things_of(testbed)
    lab.require(not left, f"down of {testbed.slug} left {sorted(left)}")


def up_twice(lab: Lab, testbed: Testbed) -> None:
    """Up of what is whole changes nothing."""
    again = lab.succeeds(testbed, "up")
    started = again.statuses().get("start-guests", set())
    lab.require(
        started <= {"unchanged"}, f"a second up of {testbed.slug} starts {started}"
    )


def recreate_disks(lab: Lab, testbed: Testbed) -> None:
    """Up with new disks restarts every guest of the testbed."""
    lab.succeeds(testbed, "up", provision=True)


def rerun_scripts(lab: Lab, testbed: Testbed) -> None:
    """Up that runs setup scripts again restarts no guest."""
    lab.succeeds(testbed, "up", rerun_scripts=True)


def generate(lab: Lab, testbed: Testbed) -> None:
    """Generating artefacts touches no host."""
    lab.succeeds(testbed, "generate-artefacts")


def delete_all(lab: Lab, testbed: Testbed) -> None:
    """Deleting disks and artefacts makes a testbed a draft again."""
    lab.succeeds(testbed, "clear-artefacts")
    testbed.applied = None
    lab.require(lab.state(testbed) is None, f"{testbed.slug} has a state still")


def cancel_up(lab: Lab, testbed: Testbed) -> None:
    """Cancel an Up at any moment."""
    _cancelled(lab, testbed, "up")


def cancel_down(lab: Lab, testbed: Testbed) -> None:
    """Cancel a Down at any moment."""
    _cancelled(lab, testbed, "down")


def _cancelled(lab: Lab, testbed: Testbed, command: str) -> None:
    moment = lab.random.randint(1, FRAMES)

    def act(run: Ran, frame: Frame) -> None:
        if len(run.frames) == moment:
            cancel(testbed.client, run.started.number)

    lab.say(f"    cancelled at its frame {moment}")
    done = lab.run(testbed, command, act)
    lab.require(
        done.status in ("cancelled", "succeeded"),
        f"a cancelled {command} {done.status}: {done.words}",
    )
    lab.require(
        "Not confirmed" not in done.words, f"a cancelled {command}: {done.words}"
    )


def two_at_once(lab: Lab, testbed: Testbed) -> None:
    """Of two Ups at once one is refused, with the name of its user."""
    lab.note_before(testbed, "up")
    clients = [lab.stack.client(testbed.owner) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda c: _started(c, testbed.slug), clients))
    runs = [answer for answer in answers if isinstance(answer, Ran)]
    refusals = [str(answer) for answer in answers if isinstance(answer, ServerProblem)]
    lab.require(len(runs) == 1, f"two ups at once of {testbed.slug}: {answers}")
    lab.require(all("has been running up" in text for text in refusals), f"{refusals}")
    for run in runs:
        lab.note_after(testbed, "up", followed(clients[0], run.started))
    for client in clients:
        client.close()


def _started(client: Client, slug: str) -> Ran | ServerProblem:
    try:
        return Ran(client.start(slug, "up"))
    except ServerProblem as refusal:
        return refusal


def stranger_tries(lab: Lab, testbed: Testbed) -> None:
    """Another user's commands are answered as if there were no such testbed."""
    stranger = next(t for t in lab.testbeds.values() if t.owner != testbed.owner).client
    name = f"{testbed.owner}/{testbed.slug}"
    for command in ("up", "down", "clear-artefacts"):
        try:
            stranger.start(name, command)
        except ServerProblem as refusal:
            lab.require(
                "no such" in str(refusal).lower() or "not" in str(refusal).lower(),
                str(refusal),
            )
        else:
            lab.require(False, f"a stranger started {command} of {testbed.slug}")
    lab.require(not stranger.has_testbed(name), f"a stranger sees {name}")


def side_by_side(lab: Lab, testbed: Testbed) -> None:
    """Two users' commands at once do not touch each other."""
    second = lab.random.choice(
        [t for t in whole_or_down(lab) if t.owner != testbed.owner]
    )
    pairs = [(t, _any_command(lab, t)) for t in (testbed, second)]
    lab.say(f"    beside {pairs[1][1]} of {second.slug}")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: _command(lab, *pair), pairs))


def _any_command(lab: Lab, testbed: Testbed) -> str:
    is_draft = lab.state(testbed) is None
    return "up" if is_draft else lab.random.choice(("up", "down"))


def _command(lab: Lab, testbed: Testbed, command: str) -> None:
    lab.succeeds(testbed, command)


def whole_or_down(lab: Lab) -> list[Testbed]:
    """Return the testbeds with which nothing is wrong."""
    return [*up(lab), *down(lab)]


def not_whole(lab: Lab) -> list[Testbed]:
    """Return the testbeds that an Up changes; all of them when it changes none."""
    whole = up(lab)
    return [t for t in anywhere(lab) if t not in whole] or anywhere(lab)


def of_two_users(lab: Lab) -> list[Testbed]:
    """Return the testbeds with which nothing is wrong, when two users have such."""
    found = whole_or_down(lab)
    return found if len({testbed.owner for testbed in found}) > 1 else []


def generated(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are down and no drafts."""
    return [testbed for testbed in down(lab) if lab.state(testbed)]


def unedited(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are up as they are written."""
    return [testbed for testbed in up(lab) if testbed.written == testbed.applied]


ACTS = (
    Act(Family.RUN, "up", not_whole, bring_up, weight=14),
    Act(Family.RUN, "down", deployed, take_down, weight=4),
    Act(Family.RUN, "up of what is up", unedited, up_twice),
    Act(Family.RUN, "up with new disks", whole_or_down, recreate_disks),
    Act(Family.RUN, "up with scripts again", whole_or_down, rerun_scripts),
    Act(Family.RUN, "generate artefacts", anywhere, generate),
    Act(Family.RUN, "delete disks and artefacts", generated, delete_all, weight=1),
    Act(Family.RUN, "two ups at once", whole_or_down, two_at_once),
    Act(Family.RUN, "stranger's commands", anywhere, stranger_tries),
    Act(Family.RUN, "two users at once", of_two_users, side_by_side),
    Act(Family.CANCEL, "cancel an up", whole_or_down, cancel_up, weight=4),
    Act(Family.CANCEL, "cancel a down", deployed, cancel_down, weight=3),
)
