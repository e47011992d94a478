"""YAML text → `Spec`, with a finding at its line for every mistake.

Four steps: read the document (`reading/document.py`), convert the oldest generation to
a later one and compare the keys with the language (`language/generations.py`,
`language/keys.py`), validate each section against the models of `language/written.py`,
convert it to the one internal form (`language/normal.py`). Sections are validated one
by one, so that an invalid machine does not hide mistakes in the next; the valid
sections are kept as a `Draft` for the rules in `check.py`. Does no I/O and never raises
for a fault in the YAML.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestration.compose.draft import Draft, Drafted
from orchestration.compose.language.generations import mixed_ways, move_network
from orchestration.compose.language.keys import Place, place_of
from orchestration.compose.language.normal import (
    build_machine,
    build_spec,
    kind_of_machine,
)
from orchestration.compose.language.schema import Network, Spec, TestbedOptions
from orchestration.compose.language.written import WrittenMachine
from orchestration.compose.reading.document import Document, Value, read_document
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.type_errors import (
    kind_of,
    mended,
    place_of_error,
    type_finding,
)
from orchestration.errors import Finding, Severity, SpecError

FINDINGS_LIMIT = 500
GUESTS_LIMIT = 10_000
Section = TypeVar("Section", bound=BaseModel)
KnownMap = tuple[Path, dict[str, Value], Place]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of loading a YAML. `spec` is None if there are errors."""

    spec: Spec | None
    findings: tuple[Finding, ...]
    positions: Positions
    draft: Draft
    file_name: str

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that forbid `up`."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    def require(self) -> Spec:
        """Return the spec.

        Raises SpecError (with all findings) when the YAML has errors.
        """
        if self.spec is None:
            count = len(self.errors)
            errors = "1 error" if count == 1 else f"{count} errors"
            raise SpecError(f"{self.file_name} has {errors}.", findings=self.findings)
        return self.spec


def load_spec(text: str | bytes, *, file_name: str = "kvm-compose.yaml") -> Loaded:
    """Read a YAML and check its form; the rules about values are in `check.py`."""
    document = read_document(text)
    findings, draft = list(document.findings), Draft()
    if document.readable and isinstance(document.data, dict):
        twice = list(move_network(document))
        maps, positions = list(_known_maps(document)), document.positions
        refused, mixed = dict(_refused(maps, positions)), list(mixed_ways(document))
        findings += [*twice, *mixed, *refused.values(), *_unknown(maps, positions)]
        draft = _Sections(document.data, positions, findings).draft(
            {path[:2] if path[0] == "machines" else path[:1] for path in refused}
        )
        draft = replace(draft, network=None) if mixed else draft
    elif document.readable:
        findings.append(_no_map(document))
    return conclude(draft, document.positions, findings, file_name)


def conclude(
    draft: Draft, positions: Positions, findings: Iterable[Finding], file_name: str
) -> Loaded:
    """Sort the findings; return a spec only when none of them is an error."""
    ordered = sorted(set(findings))
    spec = None
    if not any(finding.severity is Severity.ERROR for finding in ordered):
        machines = (drafted.machine for drafted in draft.machines)
        spec = build_spec(machines, draft.network or Network(), draft.options)
    return Loaded(spec, _shortened(ordered), positions, draft, file_name)


def _shortened(findings: list[Finding]) -> tuple[Finding, ...]:
    """Limit the number of findings, and add one where the omitted ones begin."""
    if len(findings) <= FINDINGS_LIMIT:
        return tuple(findings)
    hidden = findings[FINDINGS_LIMIT:]
    rest = replace(
        hidden[0],
        severity=min(finding.severity for finding in hidden),
        path="",
        message=f"{len(hidden)} more findings from here on are not shown.",
        hint="Fix those above first.",
    )
    return (*findings[:FINDINGS_LIMIT], rest)


def _maps(value: Value, path: Path = ()) -> Iterator[tuple[Path, dict[str, Value]]]:
    """Yield all maps of the document, parents first."""
    if isinstance(value, dict):
        yield path, value
        for key, below in value.items():
            yield from _maps(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _maps(below, (*path, index))


def _known_maps(document: Document) -> Iterator[KnownMap]:
    """Yield the maps whose keys are fixed, with their places in the language."""
    for path, entries in _maps(document.data):
        place = place_of(path)
        if place is not None:
            yield path, entries, place


def _refused(
    maps: Iterable[KnownMap], positions: Positions
) -> Iterator[tuple[Path, Finding]]:
    """Find the keys that the language has and that can never be used."""
    for path, entries, place in maps:
        for key in entries.keys() & place.refused.keys():
            below, remark = (*path, key), place.refused[key]
            found = positions.error(below, remark.message, remark.hint, at_key=True)
            yield below, found


def _unknown(maps: Iterable[KnownMap], positions: Positions) -> Iterator[Finding]:
    """Warn about unknown keys and about keys without effect."""
    for path, entries, place in maps:
        for key in entries.keys() - place.refused.keys() - set(place.keys):
            if key in place.ignored:
                continue
            near = place.nearest(key)
            message = f"Unknown key `{key}` is ignored."
            hint = f"Did you mean `{near}`?" if near else ""
            if key in place.warned:
                message, hint = place.warned[key].message, place.warned[key].hint
            yield positions.warning((*path, key), message, hint, at_key=True)


def _no_map(document: Document) -> Finding:
    return document.positions.error(
        (),
        f"The file must be a map with `machines` and `network`, it is "
        f"{kind_of(document.data)}.",
        "Start it with `machines:` at the beginning of a line.",
    )


class _Sections:
    """Validates the sections of a document one by one and collects the findings."""

    def __init__(
        self, data: dict[str, Value], positions: Positions, findings: list[Finding]
    ) -> None:
        self.data = data
        self.positions = positions
        self.findings = findings
        self.mended: set[Path] = set()

    def draft(self, refused: set[Path]) -> Draft:
        """Build the draft without the sections that were refused."""
        network: Network | None = None
        if ("network",) not in refused:
            network = self._section(Network, ("network",), self.data.get("network", {}))
        options = self.data.get("testbed_options") or {}
        machines = tuple(self._machines(refused))
        return Draft(
            machines=machines,
            network=network,
            options=self._section(TestbedOptions, ("testbed_options",), options)
            or TestbedOptions(),
            mended=frozenset(self.mended),
        )

    def _machines(self, refused: set[Path]) -> Iterator[Drafted]:
        entries = self.data.get("machines") or []
        if not isinstance(entries, list):
            message = f"`machines` must be a list, it is {kind_of(entries)}."
            hint = "Start each machine with `- name: …`."
            self.findings.append(self.positions.error(("machines",), message, hint))
            return
        guests = 0
        for index, entry in enumerate(entries):
            path: Path = ("machines", index)
            if path in refused:
                continue
            written = self._machine(path, entry)
            if written is None:
                continue
            scaling = kind_of_machine(written).scaling
            guests += 1 + (scaling.count if scaling else 0)
            if guests > GUESTS_LIMIT:
                self._too_many(path)
                return
            yield Drafted(path, written, build_machine(written))

    def _machine(self, path: Path, entry: Value) -> WrittenMachine | None:
        """Read one machine; repair an invalid one so that rules can check it."""
        try:
            return WrittenMachine.model_validate(entry)
        except ValidationError as error:
            details = error.errors(include_url=False)
            self._note(details, path, entry)
        places = [place_of_error(detail, entry) for detail in details]
        try:
            written = WrittenMachine.model_validate(mended(entry, places))
        except ValidationError:
            return None
        self.mended |= {(*path, *place) for place in places}
        return written

    def _too_many(self, path: Path) -> None:
        message = f"From here on there are more than {GUESTS_LIMIT} guests."
        hint = "Write less, or split it into several testbeds."
        self.findings.append(self.positions.error(path, message, hint))

    def _section(self, model: type[Section], path: Path, data: Value) -> Section | None:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            self._note(error.errors(include_url=False), path, data)
            return None

    def _note(self, details: Iterable[ErrorDetails], path: Path, data: Value) -> None:
        self.findings += [
            type_finding(detail, path, data, self.positions) for detail in details
        ]
