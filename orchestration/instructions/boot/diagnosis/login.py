"""Probes the layers above the network: SSH, its host key, the login, the first boot.

The last attempt to log in gives the diagnosis of the login. A working login is used to
ask the guest which part of its first boot failed.
"""

from orchestration.errors import TestbedError
from orchestration.instructions.boot.diagnosis.evidence import (
    Diagnosis,
    Evidence,
    Layer,
)
from orchestration.transport.base import command

HINTS = {
    Layer.SSH: "See in its console whether its SSH server started, and whether a "
    "firewall in it lets port 22 in.",
    Layer.HOST_KEY: "Its SSH server uses another key than "
    "/etc/ssh/ssh_host_ed25519_key, or another machine answers: compare both "
    "fingerprints with the guest's, in its console. A disk that an older version of "
    "its image made keeps that version's first boot: Up with Recreate disks makes a "
    "new one, and erases what is on it.",
    Layer.LOGIN: "Its system did not create the testbed's account from its seed: see in "
    "its console whether cloud-init ran. An image may have an account or a group of that "
    "name already: choose another `username`, then Up with Recreate disks.",
    Layer.FIRST_BOOT: "Its errors and failed units are below. Fix them, then Up again.",
}
# Of a guest that was found off or paused, and runs again.
CHANGED = "Its state changed during the check. Check it again."
# Systems without cloud-init or systemd print nothing for these.
_ASK = """\
cloud-init status --long 2>/dev/null
systemctl --failed --no-legend --plain 2>/dev/null | head -n 5
tail -n 12 /var/log/cloud-init-output.log 2>/dev/null
true
"""


def login(evidence: Evidence) -> Diagnosis | None:
    """Return how the last attempt to log in ended."""
    symptom = evidence.symptom
    if symptom.layer is Layer.FIRST_BOOT:
        return None
    hint = symptom.hint or HINTS.get(symptom.layer, CHANGED)
    return Diagnosis(symptom.layer, symptom.words, hint, symptom.detail)


def first_boot(evidence: Evidence) -> Diagnosis:
    """Ask the guest how far its first boot came; the last of all layers."""
    symptom, said = evidence.symptom, _ask_inside(evidence)
    words, lines = symptom.words, said.lower()
    if "status: error" in lines:
        words = "cloud-init failed in its first boot"
    elif "status: running" in lines:
        words = f"{symptom.words}: cloud-init is still at work"
    elif "status: done" in lines:
        words = "cloud-init ended in it without running our last command"
    elif "status: disabled" in lines:
        words = "cloud-init is switched off in its image"
    return Diagnosis(
        Layer.FIRST_BOOT, words, HINTS[Layer.FIRST_BOOT], said or symptom.detail
    )


def _ask_inside(evidence: Evidence) -> str:
    try:
        return evidence.inside(command("sh", "-c", _ASK)).strip()
    except TestbedError as exc:
        evidence.task.scope.check_cancelled()
        return exc.message
