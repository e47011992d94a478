"""The options that every command has, before its name and after it, as one value."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from testbed.client.terminal.exits import WrongUse

YAML_NAME = "kvm-compose.yaml"
Command = TypeVar("Command", bound=Callable[..., Any])


class YamlIsLink(WrongUse):
    """The YAML of a folder is a link, and is not read."""


@dataclass(slots=True)
class Settings:
    """The choices of a command line that any command may read."""

    server: str = ""
    project_name: str = ""
    input: Path = Path(YAML_NAME)
    is_json: bool = False
    is_wide: bool = False
    verbosity: int = 0

    @property
    def folder(self) -> Path:
        """The testbed's folder on this machine. Raises: WrongUse."""
        if self.input.is_dir():
            return self.input.resolve()
        if str(self.input) != YAML_NAME and not self.input.exists():
            raise WrongUse(
                f"There is no {self.input}.",
                hint="Name the testbed's folder with --input.",
            )
        if self.input.name != YAML_NAME:
            raise WrongUse(
                f"{self.input} is not named {YAML_NAME}, as it is on the server.",
                hint="Rename it, or name its folder with --input.",
            )
        return self.input.parent.resolve()

    @property
    def yaml(self) -> Path:
        """The YAML in this folder. Raises: WrongUse (there is none), YamlIsLink."""
        file = self.folder / YAML_NAME
        if file.is_symlink():
            raise YamlIsLink(
                f"{YAML_NAME} in {self.folder} is a link.",
                hint="Put the file itself there: nothing is read through a link.",
            )
        if not file.is_file():
            raise WrongUse(
                f"There is no {YAML_NAME} in {self.folder}.",
                hint="Make one with `testbed init`, or name its folder with --input.",
            )
        return file


def settings() -> Settings:
    """Return the settings of the command that runs."""
    return click.get_current_context().ensure_object(Settings)


def common(command: Command) -> Command:
    """Give a command the options of all commands."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return what puts an option that was given into the settings.

    A command has each option once more, with its variable of the environment: that does
    not replace an option that was written before the command's name.
    """

    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        kept = ctx.ensure_object(Settings)
        source = ctx.get_parameter_source(parameter.name or "")
        if source is ParameterSource.ENVIRONMENT and getattr(kept, name):
            return
        if value not in (None, False, 0):
            setattr(kept, name, value)

    return keep


def _keep_width(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None:
        ctx.ensure_object(Settings).is_wide = value == "wide"
        if value == "json":
            ctx.ensure_object(Settings).is_json = True


_OPTIONS = (
    click.option(
        "--server",
        "--server-connection",
        metavar="URL",
        envvar="TESTBED_SERVER",
        expose_value=False,
        callback=_keep("server"),
        help="The server; the one where you signed in last unless given.",
    ),
    click.option(
        "--project-name",
        metavar="NAME",
        envvar="TESTBED_PROJECT",
        expose_value=False,
        callback=_keep("project_name"),
        help="The testbed, as lab or olive/lab; the folder's unless given.",
    ),
    click.option(
        "--input",
        metavar="PATH",
        type=click.Path(path_type=Path, exists=False),
        expose_value=False,
        callback=_keep("input"),
        help="The testbed's folder, or its kvm-compose.yaml; the present folder's "
        "unless given.",
    ),
    click.option(
        "--json",
        "is_json",
        is_flag=True,
        expose_value=False,
        callback=_keep("is_json"),
        help="Print JSON; of a run, each event as a line.",
    ),
    click.option(
        "-o",
        "--output",
        type=click.Choice(["wide", "json"]),
        expose_value=False,
        callback=_keep_width,
        help="Show more columns, or JSON.",
    ),
    click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_keep("verbosity"),
        help="Say more about what is done.",
    ),
)
