"""Shell scripts as commands, and one that is hard to end.

Used by the tests of commands, of their end, and of what is left of them.
"""

from orchestration.transport.base import Command

# A foreground and a background child, one that is deaf to TERM and HUP, one that
# left the session, one that cleared nothing but its group.
STUBBORN = """
sleep 600 &
setsid sleep 601 &
(trap '' TERM HUP; sleep 602; sleep 603) &
nohup sleep 604 >/dev/null 2>&1 &
trap '' TERM HUP
sleep 605
sleep 606
"""


def sh(script: str, **settings) -> Command:
    return Command(("sh", "-c", script), **settings)
