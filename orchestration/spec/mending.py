"""A machine with values of the wrong type → one that the rules can still judge.

The loader uses it, so that one missing size does not hide an unknown bridge or a name
that is used twice. Only what no rule misses is mended: a size gets a stand-in, an
optional value is left out. The mistake itself stays an error, so that nothing mended
ever becomes a spec; what the rules say of a mended place is dropped. Pure.
"""

from collections.abc import Iterable
from copy import deepcopy

from orchestration.spec.document import Value
from orchestration.spec.positions import Path

STAND_INS = {"cpus": 1, "memory_mb": 64}
LEFT_OUT = {
    "mac",
    "username",
    "password",
    "expand_gigabytes",
    "setup_script",
    "run_script",
    "context",
    "driver_type",
    "device_type",
    "readonly",
    "create_deep_copy",
    "env_file",
    "privileged",
    "user",
}


def mended(section: Value, places: Iterable[Path]) -> Value:
    """Return the section without its mistakes; None: one of them cannot be mended."""
    copy = deepcopy(section)
    for place in places:
        if not _mend(copy, place):
            return None
    return copy


def _mend(section: Value, place: Path) -> bool:
    if not place:
        return False
    *above, key = place
    holder = section
    for part in above:
        if isinstance(holder, dict) and isinstance(part, str):
            holder = holder.get(part)
        elif isinstance(holder, list) and isinstance(part, int):
            holder = holder[part]
        else:
            return False
    if not isinstance(holder, dict) or not isinstance(key, str):
        return False
    if key in STAND_INS:
        holder[key] = STAND_INS[key]
        return True
    is_variable = bool(above) and above[-1] == "environment"
    if key in LEFT_OUT or is_variable:
        holder.pop(key, None)
    return key in LEFT_OUT or is_variable
