"""The form of a command or copy for guests or hosts: fields become an `Execution`.

The command bar of a testbed's page sends it, and so may a program. The first problem is
a refusal, shown above the form, which keeps the input and marks the fields.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from django import forms
from django.http import QueryDict

from orchestration.errors import ExecutionRefused
from orchestration.plan.execution import (
    DEFAULT_SECONDS,
    Execution,
    Form,
    Targets,
    parse_execution,
)
from testbed.pages.execution.command_bar import line_of

# Where a form names each of these; the rest of its fields are the conditions.
_PLAIN = ("user", "sudo", "folder", "in_order")
# The conditions that only programs have.
_OF_PROGRAMS = ("folder", "env", "stdin")
_COPIES = (Form.PUSH, Form.FETCH, Form.SERIAL_LOG)
_NUMBERS = ("parallel", "stop_after")


class _Number(forms.IntegerField):
    """A whole number; an empty field has its initial value."""

    def clean(self, value: object) -> int:
        """Return the number."""
        found = super().clean(value)
        return int(self.initial) if found is None else int(found)


class ExecutionForm(forms.Form):
    """A command, a line for a shell, a script or a copy, its targets and conditions.

    `guests` are the ticked rows of the guests' table, which join the selection.
    """

    targets = forms.ChoiceField(
        label="On", choices=[(one.value, one.value) for one in Targets], required=False
    )
    selection = forms.CharField(label="Guests", required=False)
    form = forms.ChoiceField(
        label="Kind",
        choices=[(one.value, one.value) for one in Form if one is not Form.CAPTURE],
    )
    line = forms.CharField(label="Command", required=False)
    path = forms.CharField(label="Script", required=False)
    text = forms.CharField(label="Pasted script", required=False, strip=False)
    arguments = forms.CharField(label="Arguments", required=False)
    source = forms.CharField(label="File or folder", required=False, strip=False)
    target = forms.CharField(label="Path in the guest", required=False)
    remote = forms.CharField(label="Path in the guest", required=False)
    user = forms.CharField(label="User", required=False)
    sudo = forms.BooleanField(label="As root", required=False)
    env = forms.CharField(label="Environment", required=False)
    folder = forms.CharField(label="Folder", required=False)
    stdin = forms.CharField(label="Standard input", required=False, strip=False)
    timeout_s = forms.IntegerField(label="Time limit", required=False)
    tool = forms.BooleanField(label="Keep running", required=False)
    parallel = _Number(label="At once", required=False, initial=0)
    in_order = forms.BooleanField(label="In order", required=False)
    stop_after = _Number(label="Stop after", required=False, initial=0)

    def clean(self) -> dict[str, object]:
        """Check the fields of a copy, each at its place."""
        values: dict[str, object] = super().clean() or {}
        for name, problem in _problems(values):
            self.add_error(name, problem)
        return values

    def execution(self) -> Execution:
        """Return what was asked for. Raises: ExecutionRefused."""
        if not self.is_valid():
            name, problems = next(iter(self.errors.items()))
            raise ExecutionRefused(f"{self.fields[name].label}: {problems[0]}")
        values = self.cleaned_data
        form = Form(values["form"])
        return parse_execution(
            {
                "form": form,
                "selection": self._selection(),
                "targets": values["targets"] or Targets.GUESTS,
                "tool": values["tool"],
                "conditions": self._conditions(form),
                **_content(form, values),
            }
        )

    @property
    def has_conditions(self) -> bool:
        """Return whether a condition is another than the usual one."""
        names = (*_PLAIN, *_NUMBERS, "timeout_s", "tool", "env", "stdin")
        usual = {name: self.fields[name].initial for name in names}
        values = {name: self[name].value() for name in names}
        return any(v and str(v) != str(usual[name]) for name, v in values.items())

    def _selection(self) -> str:
        ticked = self.data.getlist("guests") if isinstance(self.data, QueryDict) else []
        return ",".join(filter(None, (self.cleaned_data["selection"], *ticked)))

    def _conditions(self, form: Form) -> dict[str, object]:
        values = self.cleaned_data
        found = {
            **{name: values[name] for name in (*_PLAIN, *_NUMBERS)},
            "timeout_s": _seconds(values["timeout_s"], is_tool=values["tool"]),
            "env": _environment(values["env"]),
            "stdin": _unix(values["stdin"]),
        }
        left_out = _OF_PROGRAMS if form in _COPIES else ()
        return {name: value for name, value in found.items() if name not in left_out}


def selection_of(data: QueryDict) -> str:
    """Return the guests that a form is for; ticked rows join its selection."""
    names = (data.get("selection", ""), *data.getlist("guests"))
    return ",".join(name for name in names if name.strip())


def form_of(wanted: Execution) -> ExecutionForm:
    """Return the form as it is filled for an execution."""
    conditions, form = wanted.conditions, wanted.form
    is_script = form is Form.SCRIPT
    line = "" if is_script else line_of(form, wanted.words)
    is_usual = conditions.timeout_s == _seconds(None, is_tool=wanted.tool)
    return ExecutionForm(
        initial={
            "selection": wanted.selection,
            "targets": wanted.targets.value,
            "form": form.value,
            "line": line,
            "arguments": shlex.join(wanted.words) if is_script else "",
            "path": wanted.path if is_script else "",
            "text": wanted.text,
            "source": wanted.path if form is Form.PUSH else "",
            "target": wanted.target,
            "remote": wanted.path if form is Form.FETCH else "",
            **{name: getattr(conditions, name) for name in (*_PLAIN, *_NUMBERS)},
            "timeout_s": None if is_usual else conditions.timeout_s,
            "tool": wanted.tool,
            "env": "".join(f"{name}={v}\n" for name, v in conditions.env.items()),
            "stdin": conditions.stdin,
        }
    )


def _problems(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong in the fields of a copy, with the fields' names."""
    kind = values.get("form")
    if kind == Form.PUSH and not values["source"]:
        yield "source", "Choose a file or folder of the testbed."
    place = {Form.PUSH.value: "target", Form.FETCH.value: "remote"}.get(str(kind))
    if place and not PurePosixPath(str(values[place])).is_absolute():
        yield place, "Write a full path: begin it with a slash."


def _content(form: Form, values: Mapping[str, str]) -> dict[str, object]:
    """Return what an execution of this form consists of."""
    if form is Form.PUSH:
        return {"path": values["source"], "target": values["target"]}
    if form is Form.FETCH:
        return {"path": values["remote"]}
    if form is Form.SERIAL_LOG:
        return {}
    text = _unix(values["text"]) if form is Form.SCRIPT else ""
    path = values["path"] if form is Form.SCRIPT and not text else ""
    return {"words": _words(form, values), "path": path, "text": text}


def _words(form: Form, values: Mapping[str, str]) -> tuple[str, ...]:
    if form is Form.SHELL:
        return (values["line"],) if values["line"] else ()
    try:
        return tuple(
            shlex.split(values["line" if form is Form.COMMAND else "arguments"])
        )
    except ValueError as exc:
        raise ExecutionRefused(
            "The command has a quote that is not closed.",
            hint="Close it, put a backslash before it, or run the line in a shell.",
        ) from exc


def _seconds(given: int | None, *, is_tool: bool) -> int:
    """Return a time limit; a tool has none of its own."""
    if given is not None:
        return given
    return 0 if is_tool else DEFAULT_SECONDS


def _environment(text: str) -> dict[str, str]:
    """Read lines of `NAME=value`; the value is everything after the first `=`."""
    found = {}
    for line in filter(str.strip, text.splitlines()):
        name, equals, value = line.partition("=")
        if not equals:
            raise ExecutionRefused(
                f"`{line}` sets no environment variable.", hint="Write NAME=value."
            )
        found[name.strip()] = value
    return found


def _unix(text: str) -> str:
    """Return text with the line ends that browsers change."""
    return text.replace("\r\n", "\n")
