"""The creation of a run: planned, stored, waiting for its driver.

Called by views and tests, always with an authorised user. The run's row is made first,
so that the database's constraint on one active run per testbed decides between
concurrent requests; only the winner touches the testbed's state.
"""

import json
from collections.abc import Mapping
from functools import partial

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from orchestration.errors import StateError, TestbedBusy
from orchestration.plan.lifecycle import Plan
from orchestration.plan.model import Command, Options
from testbed.celery import request_driver
from testbed.models import Instruction, Run, Task, Testbed
from testbed.testbeds.planning import prepare

PlanJson = Mapping[str, object]


def create_run(
    testbed: Testbed,
    user: User,
    command: Command,
    options: Options | None = None,
    *,
    client_plan: PlanJson | None = None,
) -> Run:
    """Plan a command and store it as a run that waits for its driver.

    When no client drives it in time, the server does. Raises: TestbedBusy (with user
    and start), SpecError, StateError (also: the client's plan is another one).
    """
    options = options or Options()
    with transaction.atomic():
        run = _reserve(testbed, user, command, options)
        _, plan = prepare(testbed, command, options)
        text = plan.to_json()
        stored = json.loads(text)
        if client_plan is not None:
            _compare(stored, json.loads(json.dumps(client_plan)))
        run.plan, run.log_bytes = stored, len(text)
        run.save(update_fields=["plan", "log_bytes"])
        _create_rows(run, plan)
        transaction.on_commit(partial(request_driver, run.pk))
    return run


def _reserve(testbed: Testbed, user: User, command: Command, options: Options) -> Run:
    """Make the run's row, or raise TestbedBusy: the database accepts only one."""
    switches = {
        "provision": options.provision,
        "rerun_scripts": options.rerun_scripts,
    }
    try:
        with transaction.atomic():
            return Run.objects.create(
                testbed=testbed,
                asked_by=user,
                command=command.value,
                options=switches,
                plan={},
            )
    except IntegrityError as exc:
        raise _busy(testbed) from exc


def _create_rows(run: Run, plan: Plan) -> None:
    instructions = Instruction.objects.bulk_create(
        Instruction(
            run=run,
            index=entry.index,
            kind=entry.kind,
            stage=entry.stage.value,
            title=entry.title,
        )
        for entry in plan.instructions
    )
    Task.objects.bulk_create(
        Task(instruction=row, resource=resource.name, host=resource.host)
        for row, entry in zip(instructions, plan.instructions, strict=True)
        for resource in entry.resources
    )


def _busy(testbed: Testbed) -> TestbedBusy:
    run = Run.objects.active().filter(testbed=testbed).select_related("asked_by").last()
    if run is None:
        return TestbedBusy(
            "Another run of this testbed has just ended.", hint="Try again."
        )
    since = timezone.localtime(run.created_at)
    return TestbedBusy(
        f"{run.asked_by} has been running {run.command} on testbed {testbed} "
        f"since {since:%H:%M:%S}.",
        hint="Wait until it is over, or cancel it.",
    )


def _compare(own: dict[str, object], sent: dict[str, object]) -> None:
    """Refuse a client's plan that is not the server's. Raises: StateError."""
    if own == sent:
        return
    mine, yours = own.get("instructions"), sent.get("instructions")
    where = "its command or options differ"
    if isinstance(mine, list) and isinstance(yours, list) and mine != yours:
        pairs = zip(mine, yours, strict=False)
        shorter = min(len(mine), len(yours))
        index = next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
        where = f"they differ from instruction {index} on"
    raise StateError(
        f"The plan that was sent is not the one that the server made: {where}.",
        hint="Fetch the testbed's files and state again, then plan again.",
    )
