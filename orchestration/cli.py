"""`python -m orchestration check|plan`: what a YAML means, offline, without the web.

Reads files, prints, and returns an exit code: 0 fine, 1 the YAML has errors, 2 wrong
use. `check` prints every finding; `plan` prints what `up` would do on the hosts of a
JSON file. Nothing here touches a machine. The only module that prints.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestration.errors import Finding, TestbedError
from orchestration.spec.catalogue import load_catalogue
from orchestration.spec.checks import check
from orchestration.spec.document import SIZE_LIMIT_BYTES
from orchestration.spec.files import FolderFiles
from orchestration.spec.loader import Loaded

DONE, FAILED, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return check_command(options)
    except TestbedError as error:
        print(f"{error.message} {error.hint}".strip(), file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return WRONG_USE


def check_command(options: argparse.Namespace) -> int:
    """Print every finding of a YAML."""
    loaded = _load(options)
    if options.json:
        print(json.dumps([as_json(f) for f in loaded.findings], indent=2))
    else:
        for finding in loaded.findings:
            print(as_line(options.file, finding))
    return FAILED if loaded.errors else DONE


def as_line(file: Path, finding: Finding) -> str:
    """Write a finding the way compilers do, so that editors can follow it."""
    where = f"{file}:{finding.line}:{finding.column}"
    path = f" {finding.path}" if finding.path else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{where} {finding.severity}{path}: {finding.message}{hint}"


def as_json(finding: Finding) -> dict[str, str | int]:
    """Return a finding as the JSON object that editors read."""
    return {
        "severity": finding.severity.value,
        "line": finding.line,
        "column": finding.column,
        "path": finding.path,
        "message": finding.message,
        "hint": finding.hint,
    }


def _load(options: argparse.Namespace) -> Loaded:
    with options.file.open("rb") as stream:
        text = stream.read(SIZE_LIMIT_BYTES + 1)
    return check(
        text,
        files=FolderFiles(options.file.resolve().parent),
        catalogue=load_catalogue(options.images),
        testbed_name=options.testbed,
        file_name=options.file.name,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestration",
        description="Check a kvm-compose.yaml and show what it would do. Offline.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checker = commands.add_parser("check", help="print every finding of a YAML")
    _common(checker)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a kvm-compose.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--images",
        metavar="DIR",
        type=Path,
        help="folder (or JSON file) of locally built images",
    )
    parser.add_argument(
        "--testbed", metavar="NAME", default="", help="name of the testbed"
    )
