"""The power verbs: their words, and the state in which they leave a guest.

Plans, pages, records and clients take them from here. Nothing here touches a machine.
"""

from dataclasses import dataclass

from orchestration.errors import ExecutionRefused
from orchestration.plan.model import Kind

# In libvirt's words.
RUNNING, PAUSED, SHUT_OFF = "running", "paused", "shut off"


@dataclass(frozen=True, slots=True)
class Verb:
    """One power verb; `leaves` is the status of a guest after it.

    `done` is its past participle. `loses_data`: the guest cannot save anything before.
    """

    kind: Kind
    title: str
    done: str
    leaves: str
    loses_data: bool = False


VERBS = {
    verb.kind: verb
    for verb in (
        Verb(Kind.POWER_ON, "Start", "started", RUNNING),
        Verb(Kind.SHUT_DOWN, "Shut down", "shut down", SHUT_OFF),
        Verb(Kind.REBOOT, "Reboot", "rebooted", RUNNING),
        Verb(Kind.PAUSE, "Pause", "paused", PAUSED),
        Verb(Kind.RESUME, "Resume", "resumed", RUNNING),
        Verb(Kind.RESET, "Reset", "reset", RUNNING, loses_data=True),
        Verb(Kind.POWER_OFF, "Force off", "forced off", SHUT_OFF, loses_data=True),
    )
}


def verb_named(name: str) -> Verb:
    """Return the verb that a form or a program names. Raises: ExecutionRefused."""
    found = next((verb for kind, verb in VERBS.items() if kind == name), None)
    if found is None:
        raise ExecutionRefused(
            f"There is no power verb `{name}`.", hint=f"Use one of {', '.join(VERBS)}."
        )
    return found
