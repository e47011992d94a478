"""YAML text → `Spec`, with every mistake at its line instead of the first only.

Three steps: read the document (`document.py`), compare its keys with the language
(`language.py`), validate each section against the models (`schema.py`). Sections are
validated one by one, so that a broken machine does not hide what is wrong with the
next; what could be read is kept as a `Draft` for the rules in `checks.py`. Does no
I/O and never raises for what a user wrote.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchestration.errors import Finding, Severity, SpecError
from orchestration.spec.document import Document, Value, read_document
from orchestration.spec.language import Place, place_of
from orchestration.spec.messages import kind_of, type_finding
from orchestration.spec.positions import Path, Positions
from orchestration.spec.schema import Machine, Network, Spec, TestbedOptions

FINDINGS_LIMIT = 500
Section = TypeVar("Section", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Draft:
    """The sections that could be read; a section with type errors is left out.

    `machines` keeps each machine's index in the YAML. `network` is None when it has
    errors of its own, so that no rule judges what is only half known.
    """

    machines: tuple[tuple[int, Machine], ...] = ()
    network: Network | None = None
    options: TestbedOptions = field(default_factory=TestbedOptions)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A YAML as far as it could be understood. `spec` is None if there are errors."""

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
    """Read a YAML and check its form; the rules about values are in `checks.py`."""
    document = read_document(text)
    findings, draft = list(document.findings), Draft()
    if document.readable and isinstance(document.data, dict):
        refused = dict(_refused(document))
        findings += [*refused.values(), *_unknown(document)]
        draft = _Sections(document.data, document.positions, findings).draft(
            {path[:2] if path[0] == "machines" else path[:1] for path in refused}
        )
    elif document.readable:
        findings.append(_no_map(document))
    return conclude(draft, document.positions, findings, file_name)


def conclude(
    draft: Draft, positions: Positions, findings: Iterable[Finding], file_name: str
) -> Loaded:
    """Sort the findings and give out a spec only when none of them is an error."""
    ordered = sorted(set(findings))
    spec = None
    if not any(finding.severity is Severity.ERROR for finding in ordered):
        spec = Spec(
            machines=tuple(machine for _, machine in draft.machines),
            network=draft.network or Network(),
            testbed_options=draft.options,
        )
    return Loaded(spec, _shortened(ordered), positions, draft, file_name)


def _shortened(findings: list[Finding]) -> tuple[Finding, ...]:
    """Cut a flood of findings, and say so at the line where it is cut."""
    if len(findings) <= FINDINGS_LIMIT:
        return tuple(findings)
    hidden = findings[FINDINGS_LIMIT:]
    rest = replace(
        hidden[0],
        severity=min(finding.severity for finding in hidden),
        path="",
        message=f"{len(hidden)} more findings from here on are not shown.",
        hint="Mend those above first.",
    )
    return (*findings[:FINDINGS_LIMIT], rest)


def _maps(value: Value, path: Path = ()) -> Iterator[tuple[Path, dict[str, Value]]]:
    """Walk over all maps of the document, parents first."""
    if isinstance(value, dict):
        yield path, value
        for key, below in value.items():
            yield from _maps(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _maps(below, (*path, index))


def _known_maps(
    document: Document,
) -> Iterator[tuple[Path, dict[str, Value], Place]]:
    for path, entries in _maps(document.data):
        place = place_of(path)
        if place is not None:
            yield path, entries, place


def _refused(document: Document) -> Iterator[tuple[Path, Finding]]:
    """Find the keys that the language has and this version does not do."""
    for path, entries, place in _known_maps(document):
        for key in entries:
            if key in place.later:
                later, below = place.later[key], (*path, key)
                yield (
                    below,
                    document.positions.error(
                        below, later.message, later.hint, at_key=True
                    ),
                )


def _unknown(document: Document) -> Iterator[Finding]:
    for path, entries, place in _known_maps(document):
        known = {*place.keys, *place.later, *place.ignored}
        for key in entries:
            if key not in known:
                near = place.nearest(key)
                yield document.positions.warning(
                    (*path, key),
                    f"Unknown key `{key}` is ignored.",
                    f"Did you mean `{near}`?" if near else "",
                    at_key=True,
                )


def _no_map(document: Document) -> Finding:
    return document.positions.error(
        (),
        f"The file must be a map with `machines` and `network`, it is "
        f"{kind_of(document.data)}.",
        "Start it with `machines:` at the beginning of a line.",
    )


class _Sections:
    """Validate the sections of a document one by one, collecting the findings."""

    def __init__(
        self, data: dict[str, Value], positions: Positions, findings: list[Finding]
    ) -> None:
        self.data = data
        self.positions = positions
        self.findings = findings

    def draft(self, refused: set[Path]) -> Draft:
        """Build the draft without the sections that were refused already."""
        network: Network | None = None
        if ("network",) not in refused:
            network = self._section(Network, ("network",), self.data.get("network", {}))
        options = self.data.get("testbed_options") or {}
        return Draft(
            machines=tuple(self._machines(refused)),
            network=network,
            options=self._section(TestbedOptions, ("testbed_options",), options)
            or TestbedOptions(),
        )

    def _machines(self, refused: set[Path]) -> Iterator[tuple[int, Machine]]:
        entries = self.data.get("machines") or []
        if not isinstance(entries, list):
            message = f"`machines` must be a list, it is {kind_of(entries)}."
            hint = "Start each machine with `- name: …`."
            self.findings.append(self.positions.error(("machines",), message, hint))
            return
        for index, entry in enumerate(entries):
            path: Path = ("machines", index)
            machine = None if path in refused else self._section(Machine, path, entry)
            if machine is not None:
                yield index, machine

    def _section(self, model: type[Section], path: Path, data: Value) -> Section | None:
        try:
            return model.model_validate(data, by_alias=True, by_name=False)
        except ValidationError as error:
            self.findings += [
                type_finding(detail, path, data, self.positions)
                for detail in error.errors(include_url=False)
            ]
            return None
