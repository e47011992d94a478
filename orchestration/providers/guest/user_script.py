"""Commands that run a user's script in a guest and report how it ended.

The guest keeps a record of the last script: the boot in which it began, then its exit
code. The record survives a restart of the guest, the connection does not.
"""

from dataclasses import dataclass, replace

from orchestration.providers.guest.cloud_init import FOLDER
from orchestration.providers.guest.programs import interpreter_of
from orchestration.transport.base import Command, command

RECORD = f"{FOLDER}/script-run"
RESTARTS_VARIABLE = "TESTBED_RESTARTS"
_KILLED = 128

# Seconds that a script's apt waits for dpkg's lock, and the script for apt's services.
APT_LOCK_S = 300
_APT_FOLDER = "/etc/apt/apt.conf.d"
_APT_FILE = f"{_APT_FOLDER}/90testbed"

# `apt-get update` itself waits for no lock, so that the image's own timers are stopped
# while a script runs. They stay enabled, unless the script disables them.
_APT = f"""\
hold_apt() {{
  held=
  [ -d {_APT_FOLDER} ] || return 0
  echo 'DPkg::Lock::Timeout "{APT_LOCK_S}";' > {_APT_FILE}
  command -v systemctl > /dev/null || return 0
  for timer in apt-daily.timer apt-daily-upgrade.timer; do
    if systemctl --quiet is-enabled "$timer" 2> /dev/null; then
      systemctl stop "$timer"
      held="$held $timer"
    fi
  done
  wait_for_apt
}}

wait_for_apt() {{
  tries=0
  while systemctl is-active apt-daily.service apt-daily-upgrade.service |
    grep -q activating; do
    [ "$tries" -lt {APT_LOCK_S} ] || break
    [ "$tries" -gt 0 ] || echo "Waits for the daily run of apt."
    tries=$((tries + 1))
    sleep 1
  done
}}

release_apt() {{
  rm -f {_APT_FILE}
  for timer in $held; do
    if systemctl --quiet is-enabled "$timer"; then
      systemctl --no-block start "$timer"
    fi
  done 2> /dev/null
}}

"""

# $1 is the record, $2 the script; the words of its interpreter follow. Scripts for
# Testbed-OS often name none and ran with bash. With the trap the exit code is written
# also when a shutdown sends TERM to all processes; it is not inherited.
_RUN = """\
record=$1 script=$2
shift 2
if [ $# -eq 0 ]; then
  if command -v bash > /dev/null; then set -- bash; else set -- sh; fi
  echo "The script has no #! line; it runs with $1."
fi
trap : HUP TERM
mkdir -p "${record%/*}"
cat /proc/sys/kernel/random/boot_id > "$record"
hold_apt
"$@" "$script" < /dev/null
code=$?
echo "$code" >> "$record"
release_apt
exit "$code"
"""

# systemd is "stopping" from the moment that a restart is requested.
LOOK = """\
boot=$(cat /proc/sys/kernel/random/boot_id)
system=$(systemctl is-system-running 2> /dev/null)
printf 'boot %s\\nsystem %s\\n' "$boot" "$system"
echo "ran $(cat "$1" 2> /dev/null | tr '\\n' ' ')"
rm -f -- "$2"
"""


@dataclass(frozen=True, slots=True)
class Record:
    """The guest's record of its last script, and whether it stops or has restarted."""

    boot_id: str = ""
    is_stopping: bool = False
    ran_in: str = ""
    exit_code: int | None = None

    @property
    def has_restarted(self) -> bool:
        """Return whether the guest runs another boot than the script began in.

        A crash may lose the whole record.
        """
        return self.boot_id != self.ran_in

    @property
    def is_settled(self) -> bool:
        """Return whether further waiting changes nothing."""
        return self.has_restarted or (
            self.exit_code is not None and not self.is_stopping
        )

    @property
    def ended_with(self) -> int | None:
        """Return the script's own exit code; None for one that a restart ended."""
        code = self.exit_code
        is_cut_off = self.has_restarted and code is not None and code >= _KILLED
        return None if is_cut_off else code


def script_command(script: bytes, path: str, *, restarts: int = 0) -> Command:
    """Return the command that runs `script`, which is at `path` in the guest, as root.

    It uses the script's own interpreter, else bash, or sh without bash, and all that it
    starts is in a control group. `restarts` is the number of the guest's restarts while
    this script ran.
    """
    run = command(
        *("sh", "-s", "--", RECORD, path, *interpreter_of(script)),
        env={RESTARTS_VARIABLE: str(restarts)},
        stdin=f"{_APT}{_RUN}".encode(),
    )
    return replace(run, as_root=True, grouped=True)


def record_command(path: str) -> Command:
    """Return the command that removes the script and prints its record."""
    return command("sh", "-c", LOOK, "look", RECORD, path).with_root()


def parse_record(text: str) -> Record:
    """Parse the output of `record_command`; empty output means no record."""
    said = {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}
    ran = said.get("ran", [])
    code = ran[1] if len(ran) > 1 else ""
    return Record(
        boot_id=" ".join(said.get("boot", ())),
        is_stopping=said.get("system") == ["stopping"],
        ran_in=ran[0] if ran else "",
        exit_code=int(code) if code.isdecimal() else None,
    )
