"""`completion`: the words with which a shell completes `testbed`."""

import sys

import click
from click.shell_completion import get_completion_class

from testbed.client.terminal.exits import WrongUse

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    Bash, for example: `eval "$(testbed completion bash)"` in `~/.bashrc`.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise WrongUse(f"{shell} is not known.", hint=f"Use {', '.join(SHELLS)}.")
    root = click.get_current_context().find_root().command
    sys.stdout.write(kind(root, {}, "testbed", "_TESTBED_COMPLETE").source())
