"""An execution is read whole, or refused with a sentence about the part that is wrong."""

from dataclasses import replace

import pytest

from orchestration.errors import ExecutionRefused
from orchestration.plan.execution import Conditions, Execution, Form, parse_execution
from orchestration.plan.lifecycle import plan_exec
from orchestration.plan.model import Kind, Plan
from tests.orchestration.state.samples import build, machine, spec_of

COMMAND = {"form": "command", "selection": "web-*", "words": ["uname", "-a"]}


def conditions(**values: object) -> dict[str, object]:
    return COMMAND | {"conditions": values}


def test_command_is_read_with_its_conditions() -> None:
    found = parse_execution(conditions(sudo=True, env={"A": "b"}, timeout_s=5))

    assert found == Execution(
        Form.COMMAND,
        "web-*",
        ("uname", "-a"),
        conditions=Conditions(sudo=True, env={"A": "b"}, timeout_s=5),
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "The command cannot be read: form: field required."),
        (COMMAND | {"words": []}, "There is no command."),
        (COMMAND | {"words": [" "]}, "There is no command."),
        (COMMAND | {"words": ["A=b", "env"]}, "`A=b` is no program."),
        (COMMAND | {"words": ["a\0b"]}, "A NUL character or a lone surrogate"),
        (COMMAND | {"words": ["a\ud800b"]}, "A NUL character or a lone surrogate"),
        (COMMAND | {"selection": "w\0"}, "A NUL character or a lone surrogate"),
        (
            {"form": "capture", "capture": {"guest": "w", "interface": "\0"}},
            "A NUL character or a lone surrogate",
        ),
        (COMMAND | {"words": ["echo", "x" * 131_072]}, "An argument has more than"),
        (COMMAND | {"words": ["echo"] + ["x" * 65_536] * 17}, "1.0 MiB are taken"),
        (COMMAND | {"form": "script"}, "A script is either a file"),
        (
            COMMAND | {"form": "script", "path": "a.sh", "text": "echo"},
            "A script is either a file",
        ),
        (COMMAND | {"form": "push", "target": "/x"}, "No file is chosen"),
        (
            COMMAND | {"form": "push", "path": "a", "target": "x"},
            "The target in the guest has no full path: `x`.",
        ),
        (
            COMMAND | {"form": "fetch", "path": "../x"},
            "The file or folder in the guest has no full path: `../x`.",
        ),
        (
            {"form": "fetch", "path": "/x", "selection": "main", "targets": "hosts"},
            "Files and packets are those of guests only.",
        ),
        (conditions(env={"A B": "x"}), "`A B` cannot be set"),
        (conditions(env={"TESTBED_TAG": "x"}), "`TESTBED_TAG` cannot be set"),
        (conditions(env={"A": "x" * 131_070}), "The variable A has more than 128"),
        (conditions(user="-x"), "`-x` is no name of an account."),
        (conditions(user="a", sudo=True), "Choose root or another user, not both."),
        (conditions(folder="tmp"), "The working folder has no full path: `tmp`."),
        (conditions(timeout_s=0), "A time limit of 0 s cannot be set."),
        (conditions(timeout_s=10**9), "A time limit of 1000000000 s cannot be set."),
        (conditions(parallel=-1), "The numbers of guests and failures are 0 or more."),
        (conditions(parallel=10**9), "1,000,000,000 guests cannot be at work at once."),
    ],
)
def test_execution_that_cannot_run_is_refused(
    data: dict[str, object], message: str
) -> None:
    with pytest.raises(ExecutionRefused) as caught:
        parse_execution(data)

    assert message in caught.value.message


@pytest.mark.parametrize(
    ("wanted", "title"),
    [
        (Execution(Form.COMMAND, "a", ("echo", "a b")), "echo 'a b'"),
        (Execution(Form.SHELL, "a", ("a | b",)), "a | b"),
        (Execution(Form.SCRIPT, "a", ("-v",), path="x.sh"), "x.sh -v"),
        (Execution(Form.SCRIPT, "a", text="echo"), "'pasted script'"),
        (Execution(Form.PUSH, "a", path="x", target="/y"), "push x to /y"),
        (Execution(Form.FETCH, "a", path="/y"), "fetch /y"),
        (Execution(Form.COMMAND, "a", ("x" * 200,)), "x" * 119 + "…"),
    ],
)
def test_title_says_what_it_does(wanted: Execution, title: str) -> None:
    assert wanted.title == title


def test_all_guests_run_at_once() -> None:
    state = build(spec_of(*(machine(f"web-{n}", "br0") for n in range(3))))

    plan = plan_exec(state, parse_execution(COMMAND), ["web-0", "web-2"])

    kinds = [(found.kind, len(found.resources)) for found in plan.instructions]
    assert kinds == [(Kind.RUN_PROGRAM, 2), (Kind.END, 0)]


@pytest.mark.parametrize(
    ("form", "kind"),
    [(Form.PUSH, Kind.PUSH_FILES), (Form.FETCH, Kind.FETCH_FILES)],
)
def test_copies_are_kinds_of_their_own(form: Form, kind: Kind) -> None:
    state = build(spec_of(machine("web", "br0")))
    wanted = Execution(form, "@all", path="x", target="/y")

    plan = plan_exec(state, wanted, ["web"])

    assert [found.kind for found in plan.instructions] == [kind, Kind.END]
    assert plan.instructions[0].title == f"{wanted.title} on 1 guest"


def test_hosts_are_a_kind_of_their_own_and_their_own_resources() -> None:
    state = build(spec_of(machine("web", "br0")))
    wanted = parse_execution(COMMAND | {"targets": "hosts", "selection": "@all"})

    plan = plan_exec(state, wanted, ["host-a", "host-b"])

    found = plan.instructions[0]
    assert (found.kind, found.title) == (Kind.RUN_ON_HOST, "uname -a on 2 hosts")
    assert [(r.name, r.host) for r in found.resources] == [
        ("host-a", "host-a"),
        ("host-b", "host-b"),
    ]


def test_guests_in_order_run_in_groups() -> None:
    state = build(spec_of(*(machine(f"web-{n}", "br0") for n in range(5))))
    wanted = parse_execution(conditions(in_order=True, parallel=2))

    plan = plan_exec(state, wanted, [f"web-{n}" for n in range(5)])

    groups = [tuple(r.name for r in i.resources) for i in plan.instructions]
    assert groups == [("web-0", "web-1"), ("web-2", "web-3"), ("web-4",), ()]


def test_stored_plan_keeps_its_execution() -> None:
    state = build(spec_of(machine("web-0", "br0")))
    wanted = replace(parse_execution(COMMAND), conditions=Conditions(env={"A": "b"}))

    plan = plan_exec(state, wanted, ["web-0"])

    assert Plan.from_json(plan.to_json()) == plan
