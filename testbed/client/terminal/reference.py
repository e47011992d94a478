"""docs/cli.md, made from the commands themselves: `python -m` prints it.

A test compares the page with this, and `pytest --regenerate` writes it anew.
"""

import sys
from collections.abc import Iterator

import click

from testbed.client.terminal.former import FORMER
from testbed.client.terminal.options import common
from testbed.client.terminal.program import program

INTRODUCTION = """\
# The command line

`testbed` does from a terminal what the pages do, over [the REST API](api.md) and the websocket of [the protocol](protocol.md). This
page is made from the program; `testbed COMMAND --help` says the same.

## The first minute

```console
$ pipx install .                        # in a checkout; Python 3.11 or later, without libvirt
$ testbed login https://testbed.example # opens the page of your tokens; paste the token
$ mkdir lab && cd lab
$ testbed init single                   # or your own kvm-compose.yaml; its small image is the demo's
$ testbed check                         # offline: every finding with line and column
$ testbed up                            # sends the folder, plans, follows; Ctrl+C cancels
$ testbed status
$ testbed exec @all -- uname -a
$ testbed down
```

![The board of a run in a terminal, and the guests that it started](terminal.svg)

`asciinema play docs/terminal.cast` plays it: a test records it with the real program on rehearsed hosts.

`testbeds share` takes only users of a common group or testbed: two without one need a lab admin once.

The packages of the server are an extra: `pip install '.[server]'`. The tests run with Python 3.11. With 3.11.7, 3.12.1, 3.13.0 and 3.14.10 the wheel was
tried in a bare virtual environment: `--help`, `init`, `check`, the failures of `login` and `status`, the import of each module of the client. The
tests of the client ran with 3.12.1, 3.13.0 and 3.14.10, with the packages of the server. `testbed tui` shows the same on the whole terminal:
[tui.md](tui.md).

## The folder

A folder with a `kvm-compose.yaml` is a testbed, named as the folder or by `--project-name`. `up`, `generate-artefacts` and `sync` first bring
what changed in it to the server: files whose digest is another one than at the last time, in which `.testbed/testbed.json` keeps
the digests that both sides had. A file that was edited on the server meanwhile is named, and not overwritten: `testbed sync --take
PATH` replaces yours, `testbed sync --send PATH` the server's. A file that you deleted goes to the testbed's trash. Links are not sent, nothing outside the
folder is, and nothing that `.testbedignore` names in the notation of `.gitignore`.
A `kvm-compose.yaml` or `.testbedignore` that is a link is refused.
The digests of files from 1 MiB are kept in `~/.cache/testbed/digests.json`, or in `$XDG_CACHE_HOME` in place of `~/.cache`: such a file is read again when its size, times or inode changed.
Files above 16 MiB go in parts, and tell how much has arrived: after a broken connection or Ctrl+C the same command goes on where it was, within a day,
while the file is the same. The server puts one in its place when its digest is the folder's. Together they have the size that [budgets](operations.md#budgets) allow.

The run is planned here, with the folder's files and what only the server knows, and on the server. Both plans have to be the
same; else the server names the first instruction that differs. `--plan-on-server` leaves the plan to the server.

## Ctrl+C, and connections that break

Ctrl+C asks the server to cancel the run two seconds later, and waits until it did. A second Ctrl+C within them leaves the run as it is; one that comes later
leaves the run that is being cancelled. The last line then says how to follow it again: `testbed attach NUMBER`. A connection that
breaks is made again, for two minutes, and nothing of the run is missed: the server drives it on.

## Only in the browser

Accounts, passwords, second factors and sign-in; making an API token, your own webhook; a guest's screen; the diagram; the decision about a
conflict of a [source](sources.md), and its host key; and what lab admins do:
hosts, orphans, images and snapshots of all testbeds, groups and their managers, quotas.

## For programs

`--json` prints one JSON value on standard output, and of a run each frame of [the protocol](protocol.md#frames-of-the-server) as a line. Failures
are `{"error": …, "hint": …}` on standard error. Without a terminal, lists are lines with tabs. Times are in the terminal's own time
zone, which they name; those of JSON are ISO 8601. `NO_COLOR` is obeyed.

| exit code | |
|---|---|
| 0 | done |
| 1 | failed: the run, the YAML, the connection |
| 2 | wrong use: an unknown word, no folder, not signed in |
| 3 | refused: by the server, or because something would be lost |
| 130 | cancelled, or left with Ctrl+C |
| 141 | the program behind a pipe ended first, as `head` does |

| variable | |
|---|---|
| `TESTBED_SERVER`, `TESTBED_PROJECT` | as `--server` and `--project-name` |
| `TESTBED_TOKEN` | a token, in place of `testbed login`; the server that the folder names does not get it |
| `HTTPS_PROXY`, `NO_PROXY` | an HTTP proxy, for the websocket, too, and hosts that are asked without it |
| `SSL_CERT_FILE` | the certificate of the lab's own authority; that of the system unless set |

The token is kept in the keyring where the package `keyring` is installed and has one, else in `~/.config/testbed/servers.json`, which
only you may read. A job of continuous integration that leaves nothing behind:

```yaml
env: {TESTBED_SERVER: "https://testbed.example", TESTBED_TOKEN: "${{ secrets.TESTBED_TOKEN }}"}
steps:
  - run: pipx install ./testbed
  - run: testbed up --yes
  - run: testbed exec @all --script test.sh
  - run: testbed fetch @all /var/log/test --to results
  - if: always()
    run: testbed down && testbed clear-artefacts --yes && testbed testbeds destroy lab --yes
```

Completion of words: `eval "$(testbed completion bash)"`, or `zsh`, or `fish`.

"""


def page() -> str:
    """Return the whole page."""
    return INTRODUCTION + "\n".join([*_all_options(), *_commands(), *_former()])


def _all_options() -> Iterator[str]:
    yield "## Options of every command\n"
    yield from _options(_common_options())
    yield ""


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    context = click.Context(program, info_name="testbed")
    shared: set[str | None] = {option.name for option in _common_options()}
    for name, command in _below(program, context):
        yield from _command(command, context, name, shared)


def _below(
    group: click.Group, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands of a group with their names."""
    for name in group.list_commands(context):
        if found := group.get_command(context, name):
            yield name, found


def _command(
    command: click.Command, parent: click.Context, name: str, shared: set[str | None]
) -> Iterator[str]:
    """Yield the part of a command, and of those below it."""
    context = click.Context(command, info_name=name, parent=parent)
    if isinstance(command, click.Group):
        for below, found in _below(command, context):
            yield from _command(found, context, below, shared)
        return
    arguments = [
        piece
        for parameter in command.params
        if isinstance(parameter, click.Argument)
        for piece in parameter.get_usage_pieces(context)
    ]
    yield f"### {context.command_path.removeprefix('testbed ')}\n"
    yield f"`{' '.join([context.command_path, *arguments])}`\n"
    yield f"{_text(command.help or '')}\n"
    own = [
        one
        for one in command.params
        if isinstance(one, click.Option) and one.name not in shared
    ]
    if own:
        yield from _options(own)
        yield ""


def _options(options: list[click.Option]) -> Iterator[str]:
    yield "| option | |"
    yield "|---|---|"
    for option in options:
        words = [word for word in option.opts if word != "--server-connection"]
        value = "" if option.is_flag or option.count else f" {_value(option)}"
        needed = " Required." if option.required else ""
        yield f"| `{', '.join(words)}{value}` | {_text(option.help or '')}{needed} |"


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(map(str, option.type.choices))
    return option.metavar or option.type.name.upper()


def _former() -> Iterator[str]:
    yield "## Spellings of kvm-compose\n"
    yield "They work, and name the new one. `kvm-compose` itself is another name of `testbed`."
    yield "The levels of `-v`, as `-v info`, work, too. Each `up` applies the rules of the"
    yield "network. `exec GUEST tool` was for Android guests, and is no more.\n"
    yield "| before | now |"
    yield "|---|---|"
    for old, new in FORMER.items():
        yield f"| `{' '.join(old)}` | `{' '.join(new)}` |"
    yield ""


def _common_options() -> list[click.Option]:
    @click.command()
    @common
    def nothing() -> None:
        """Stand for any command."""

    return [one for one in nothing.params if isinstance(one, click.Option)]


def _text(words: str) -> str:
    """Return a docstring as paragraphs of one line each."""
    parts = [" ".join(part.split()) for part in words.split("\n\n")]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
