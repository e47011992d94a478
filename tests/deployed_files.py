"""Reads the files in deploy/, which docs/operations.md installs on a main host."""

from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
WEB, WORKER = "testbed-web.service", "testbed-worker.service"
CONSOLES = "testbed-consoles.service"


def setting(unit: str, name: str) -> list[str]:
    """Return the words of a unit's setting; one that is given again adds words."""
    lines = (DEPLOY / unit).read_text().replace("\\\n", " ").splitlines()
    given = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return " ".join(given).split()


def rights(unit: str) -> list[str]:
    """Return setpriv's options that leave a process the rights of a unit's alone."""
    kept = setting(unit, "CapabilityBoundingSet")
    words = ["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in kept)]
    return [f"--bounding-set={','.join(words)}", "--inh-caps=-all", "--no-new-privs"]
