"""`python -m orchestration check|plan|schema`: check and plan a YAML without the web.

Reads files, prints, and returns an exit code: 0 fine, 1 the YAML has errors, 2 wrong
use. `check` prints every finding; `plan` prints what `up` would do on the hosts of a
JSON file; `schema` prints the language for editors. Nothing here touches a machine. The
only module that prints.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import TextIO

from pydantic import TypeAdapter, ValidationError

from orchestration.compose.catalogue import TEST_GUEST, Catalogue, load_catalogue
from orchestration.compose.check import check
from orchestration.compose.files import FolderFiles
from orchestration.compose.language.built import require_built
from orchestration.compose.language.json_schema import language_schema
from orchestration.compose.loader import Loaded
from orchestration.compose.names import suggest_name
from orchestration.compose.pools import DEFAULT_POOLS, Ranges
from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.errors import Finding, SpecError, StateError, TestbedError
from orchestration.plan.lifecycle import plan_up
from orchestration.plan.model import Options
from orchestration.project.inputs import read_inputs
from orchestration.project.passwords import salt_for
from orchestration.state.build import Identity, build_state
from orchestration.state.diff.changes import diff
from orchestration.state.model import HostState, State
from orchestration.state.versions import load_state

DONE, FAILED, WRONG_USE = 0, 1, 2
HOSTS = TypeAdapter(tuple[HostState, ...])
# RFC 2544's range, which no lab uses for hosts.
FIRST_ADDRESS = IPv4Address("198.18.0.1")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except TestbedError as error:
        print(error.sentence, file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        if isinstance(error, SpecError):
            _print_findings(options.file, error.findings, sys.stderr)
        return FAILED
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return WRONG_USE


def check_command(options: argparse.Namespace) -> int:
    """Print every finding of a YAML."""
    loaded = _load(options, options.testbed)
    if options.json:
        print(json.dumps([as_json(f) for f in loaded.findings], indent=2))
    else:
        _print_findings(options.file, loaded.findings, sys.stdout)
    return FAILED if loaded.errors else DONE


def plan_command(options: argparse.Namespace) -> int:
    """Print what `up` would do on the given hosts, as the server plans it."""
    folder, known = options.file.resolve().parent, options.state
    testbed = options.testbed or (known.testbed if known else _name_of(folder))
    spec = _load(options, testbed).require()
    require_built(spec)
    wanted = build_state(
        spec,
        read_inputs(
            folder, spec, salt=salt_for(known.public_key if known else testbed, known)
        ),
        identity=_identity(testbed, options),
        hosts=options.hosts,
        catalogue=_catalogue(options.images),
        previous=known,
    )
    is_changed = known is not None and not diff(known, wanted).is_empty
    plan = plan_up(wanted, Options(), known if is_changed else None)
    print(plan.to_json() if options.json else plan.to_text(), end="")
    if options.json:
        print()
    return DONE


def schema_command(options: argparse.Namespace) -> int:
    """Print the JSON schema of the language."""
    print(json.dumps(language_schema(), indent=2))
    return DONE


def _print_findings(file: Path, findings: Sequence[Finding], to: TextIO) -> None:
    for finding in findings:
        print(as_line(file, finding), file=to)


def _load(options: argparse.Namespace, testbed: str) -> Loaded:
    with options.file.open("rb") as stream:
        text = stream.read(SIZE_LIMIT_BYTES + 1)
    return check(
        text,
        files=FolderFiles(options.file.resolve().parent),
        catalogue=_catalogue(options.images),
        testbed_name=testbed,
        file_name=options.file.name,
        image_folders=list(map(FolderFiles, options.disks)),
        hosts=options.hosts,
        ranges=_ranges(options),
    )


def _ranges(options: argparse.Namespace) -> Ranges:
    """Return the ranges; the testbed's own subnets only when a state has its number."""
    known: State | None = getattr(options, "state", None)
    return DEFAULT_POOLS.ranges(known.number if known else None)


def _catalogue(images: Path | None) -> Catalogue:
    """Read the images; the examples' image is included even before it is built."""
    return Catalogue([TEST_GUEST, *load_catalogue(images).values()])


def _hosts(file: str) -> tuple[HostState, ...]:
    """Read a list of hosts; `name` and, for one of them, `is_main` are enough."""
    try:
        hosts = HOSTS.validate_json(Path(file).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise argparse.ArgumentTypeError(
            f"{file} cannot be used: {place} {first['msg']}; write "
            '[{"name": "main", "is_main": true}, {"name": "host2"}]'
        ) from error
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file}: {error.strerror}") from error
    return tuple(map(_with_address, hosts, count()))


def _state(file: str) -> State:
    """Read the state of an existing testbed."""
    try:
        return load_state(Path(file).read_bytes())
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file}: {error.strerror}") from error
    except (ValueError, StateError) as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be used: {error}") from error


def _with_address(host: HostState, number: int) -> HostState:
    """Give a host without addresses a placeholder, at which its tunnels end."""
    if host.address or host.tunnel_address:
        return host
    return host.model_copy(update={"address": str(FIRST_ADDRESS + number)})


def _name_of(folder: Path) -> str:
    return suggest_name(folder.name) or "testbed"


def _identity(testbed: str, options: argparse.Namespace) -> Identity:
    """Return the testbed's identity, or a stand-in for one that is not created yet."""
    known: State | None = options.state
    return Identity(
        testbed=testbed,
        number=known.number if known else 1,
        directory=known.directory if known else f"testbeds/{testbed}",
        yaml_sha256=sha256(options.file.read_bytes()).hexdigest(),
        identity_file=f"testbeds/{testbed}/keys/id_ed25519",
        public_key="",
        golden_owner=known.golden_owner if known else "",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestration",
        description="Check a kvm-compose.yaml and show what it would do. Offline.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    checker = commands.add_parser("check", help="print every finding of a YAML")
    _add_common(checker)
    _add_hosts(checker, required=False)
    checker.set_defaults(run=check_command)

    planner = commands.add_parser("plan", help="print what `up` would do")
    _add_common(planner)
    _add_hosts(planner, required=True)
    planner.add_argument(
        "--state",
        metavar="FILE",
        type=_state,
        help="the testbed's state.json: plan what an edit changes",
    )
    planner.set_defaults(run=plan_command)

    printer = commands.add_parser("schema", help="print the language's JSON schema")
    printer.set_defaults(run=schema_command)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a kvm-compose.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--images",
        metavar="DIR",
        type=Path,
        help="folder (or JSON file) of locally built images",
    )
    parser.add_argument(
        "--disks",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="folder outside the testbed's that disks may be in; may be repeated",
    )
    parser.add_argument(
        "--testbed", metavar="NAME", default="", help="name of the testbed"
    )


def _add_hosts(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--hosts",
        metavar="HOSTS.json",
        type=_hosts,
        default=(),
        required=required,
        help="the testbed hosts",
    )


def as_line(file: Path, finding: Finding) -> str:
    """Return a finding in the format of compilers, which editors recognize."""
    where = f"{file}:{finding.line}:{finding.column}"
    path = f" {finding.path}" if finding.path else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{where} {finding.severity}{path}: {finding.message}{hint}"


def as_json(finding: Finding) -> dict[str, str | int]:
    """Return a finding as a JSON object for editors."""
    return {
        "severity": finding.severity.value,
        "line": finding.line,
        "column": finding.column,
        "path": finding.path,
        "message": finding.message,
        "hint": finding.hint,
    }
