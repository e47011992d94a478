"""`check`: every finding of the YAML with its line and column, without a server."""

import sys
from collections.abc import Iterable

import click

from orchestration.amounts import count_of
from orchestration.compose.catalogue import TEST_GUEST, Catalogue, load_catalogue
from orchestration.compose.check import check as check_yaml
from orchestration.compose.files import FolderFiles
from orchestration.compose.loader import Loaded
from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.errors import Finding, Severity
from orchestration.terminal import plain
from testbed.client.terminal.exits import DONE, FAILED, finding_json
from testbed.client.terminal.options import Settings, common, settings
from testbed.client.terminal.project import name_of
from testbed.client.terminal.tables import print_json, say


@click.command()
@click.option(
    "--image",
    "images",
    metavar="NAME",
    multiple=True,
    help="An image that the server has, besides those that are published; may be given "
    "more than once.",
)
@common
def check(images: tuple[str, ...]) -> int:
    """Check the folder's kvm-compose.yaml, without a server.

    Each finding is printed as compilers do, with line and column. The exit code is 1
    when there are errors; a warning forbids nothing. The server also checks what its
    hosts and images allow.
    """
    chosen = settings()
    findings = checked(chosen, images).findings
    errors = [one for one in findings if one.severity is Severity.ERROR]
    if chosen.is_json:
        print_json({"findings": [finding_json(one) for one in findings]})
    else:
        for finding in findings:
            sys.stdout.write(f"{plain(_line(chosen, finding))}\n")
        others = len(findings) - len(errors)
        words = [count_of(len(errors), "error"), count_of(others, "warning")]
        say(f"{chosen.yaml.name}: {' and '.join(words)}.")
        if any("Unknown cloud image" in one.message for one in errors):
            say("An image that only the server has: name it with --image NAME.")
    return FAILED if errors else DONE


def checked(chosen: Settings, images: Iterable[str] = ()) -> Loaded:
    """Read and check the folder's YAML. Raises: WrongUse (there is none), OSError."""
    named = [TEST_GUEST.model_copy(update={"name": name}) for name in images]
    file = chosen.yaml
    with file.open("rb") as stream:
        text = stream.read(SIZE_LIMIT_BYTES + 1)
    return check_yaml(
        text,
        files=FolderFiles(file.parent),
        catalogue=Catalogue([TEST_GUEST, *load_catalogue(None).values(), *named]),
        testbed_name=chosen.project_name.rpartition("/")[2] or name_of(file.parent),
    )


def _line(chosen: Settings, finding: Finding) -> str:
    """Return a finding in the format of compilers, which editors recognize."""
    where = f"{chosen.yaml.name}:{finding.line}:{finding.column}"
    path = f" {finding.path}" if finding.path else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{where} {finding.severity}{path}: {finding.message}{hint}"
