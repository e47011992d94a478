"""`init`: a testbed's folder from one of the examples that ship with the client."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import click

import testbed.client
from orchestration.compose.files import resolve_inside
from orchestration.errors import PathOutside
from testbed.client.terminal.exits import Refusal, WrongUse
from testbed.client.terminal.options import common, settings
from testbed.client.terminal.tables import Listing, print_json, say

EXAMPLES = Path(testbed.client.__file__).parent / "examples"


@click.command()
@click.argument("example", default="quickstart")
@click.option("--list", "lists", is_flag=True, help="List the examples, make nothing.")
@common
def init(example: str, lists: bool) -> None:
    """Make the files of EXAMPLE in the folder, `quickstart` unless given.

    No file is overwritten.
    """
    chosen = settings()
    if lists:
        _list()
        return
    source, folder = _source(example), chosen.folder
    files = sorted(path for path in source.rglob("*") if path.is_file())
    names = [path.relative_to(source) for path in files]
    _require_room(folder, names)
    for path, name in zip(files, names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)
    if chosen.is_json:
        print_json({"example": example, "files": [str(name) for name in names]})
        return
    say(f"{len(names)} files of {example} are in {folder}.")
    say("Check them with `testbed check`, and bring them up with `testbed up`.")


def _require_room(folder: Path, names: Sequence[Path]) -> None:
    """Require that files can be new ones of a folder. Raises: Refusal."""
    hint = "Nothing was written. Use an empty folder."
    taken = [str(name) for name in names if os.path.lexists(folder / name)]
    if taken:
        raise Refusal(f"{folder} has {', '.join(taken)} already.", hint=hint)
    for name in names:
        try:
            resolve_inside(folder, name)
        except PathOutside as exc:
            words = f"{name.parent} is a link: {name} is outside of {folder}."
            raise Refusal(words, hint=hint) from exc


def _list() -> None:
    items = [{"example": name, "about": _about(EXAMPLES / name)} for name in _names()]
    listing = Listing(
        ("Example", "About"),
        lambda one: (one["example"], one["about"]),
        "There are no examples.",
    )
    listing.show(items, settings())


def _source(example: str) -> Path:
    """Return the folder of an example. Raises: WrongUse."""
    if example not in _names():
        raise WrongUse(
            f"There is no example {example}.", hint=f"Use one of {', '.join(_names())}."
        )
    return EXAMPLES / example


def _names() -> list[str]:
    return sorted(path.parent.name for path in EXAMPLES.glob("*/kvm-compose.yaml"))


def _about(folder: Path) -> str:
    """Return the first sentence of an example's README, and whether Up refuses it."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    about = next((one for one in paragraphs if not one.startswith("#")), "")
    lacks = " (not built yet)" if "**Not built yet**" in text else ""
    return about.split(". ")[0].removesuffix(".") + lacks
