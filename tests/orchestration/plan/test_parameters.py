"""A parameter's value is a part of an argument, and never code."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import ExecutionRefused
from orchestration.plan.execution import Execution, Form
from orchestration.plan.parameters import filled, parameters_of, require_quotable

HOSTILE = "a b'\"; $(id) `id` \\ *\n#"


def line(text: str) -> Execution:
    return Execution(Form.SHELL, "@all", (text,))


def test_parameters_are_named_once_in_order():
    wanted = Execution(Form.COMMAND, "web", ("cp", "{one}", "--to={two}", "{one}"))

    assert parameters_of(wanted) == ("one", "two")


def test_braces_of_shells_and_programs_are_no_parameters():
    text = 'echo ${home} {a,b} {A} {{name}} \'awk { print }\' {"a": {"b": 1}}'

    found = line(text)

    assert parameters_of(found) == ()
    assert filled(found, {}).words[0] == text.replace("{{name}}", "{name}")


def test_value_stays_one_argument_of_a_command():
    wanted = Execution(Form.COMMAND, "web", ("ls", "--sort={how}", "{what}"))

    found = filled(wanted, {"how": "x y", "what": HOSTILE})

    assert found.words == ("ls", "--sort=x y", HOSTILE)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_shell_reads_any_value_as_one_word(value: str):
    wanted = line("printf '%s' {one} && echo -n x{one}")

    if not value:
        with pytest.raises(ExecutionRefused, match="has no value"):
            filled(wanted, {"one": value})
        return
    words = shlex.split(filled(wanted, {"one": value}).words[0])
    assert words == ["printf", "%s", value, "&&", "echo", "-n", f"x{value}"]


def test_real_shell_prints_the_value():
    found = filled(line("printf '%s' {one} | cat"), {"one": HOSTILE})

    shown = subprocess.run(
        ["/bin/sh", "-c", found.words[0]], capture_output=True, text=True, check=True
    )

    assert shown.stdout == HOSTILE


@pytest.mark.parametrize(
    "text",
    [
        'echo "{one}"',
        "echo '{one}'",
        "echo \\{one}",
        'echo "a\\"{one}"',
        "echo `ls {one}`",
        "cat <<E\n{one}\nE",
        "echo $'a' {one}",
        "ls # {one}",
        "echo $(({one}))",
        "eval {one}",
    ],
)
def test_parameter_where_quoting_does_not_hold_is_refused(text: str):
    with pytest.raises(ExecutionRefused):
        require_quotable(line(text))
    with pytest.raises(ExecutionRefused):
        filled(line(text), {"one": "x"})
