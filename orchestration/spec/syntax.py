"""Say what is wrong with broken YAML in words that help.

libyaml's own sentences speak of tokens and block mappings; this table adds what to do
about each. Used by `document.py` only. Knows nothing of the language, just of YAML.
"""

import yaml

from orchestration.errors import Finding, Severity

INDENT = "Check the indentation: entries of one list or map start in one column."
HINTS = (
    ("tab character", "Indent with spaces, not tabs."),
    ("cannot start any token", "Indent with spaces, not tabs; quote @, ` and %."),
    ("mapping values are not allowed", "Quote the text if it holds `: `. " + INDENT),
    ("could not find expected ':'", "A key needs `: ` after it. " + INDENT),
    ("did not find expected key", INDENT + " Or a quote or bracket is not closed."),
    ("did not find expected '-'", INDENT),
    ("did not find expected ',' or", "A `[` or `{` is not closed."),
    ("unexpected end of stream", "A quote or a bracket is not closed."),
    ("block sequence entries are not allowed", "Start the list on a line of its own."),
    ("did not find expected alphabetic", "Quote text that starts with `*` or `&`."),
    ("undefined tag handle", "Quote text that starts with `!`."),
    ("did not find expected <document start>", INDENT),
)


def syntax_finding(error: yaml.YAMLError) -> Finding:
    """Translate a parser error into a finding with line, column and hint."""
    line, column, problem = 1, 1, "unreadable"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context)
        if mark is not None:
            line, column = mark.line + 1, mark.column + 1
        if error.context and error.context_mark and error.context_mark.line + 1 < line:
            problem += f" ({error.context} that starts in line "
            problem += f"{error.context_mark.line + 1})"
    elif isinstance(error, yaml.reader.ReaderError):
        problem = str(error.reason)
    hint = next((text for part, text in HINTS if part in problem), "")
    return Finding(
        line, column, Severity.ERROR, "", f"Not valid YAML: {problem}.", hint
    )
