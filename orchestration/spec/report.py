"""A finding as one line of text, and as JSON for editors.

Used by the command line and by the web's editor, so that both say the same.
"""

from pathlib import Path

from orchestration.errors import Finding


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
