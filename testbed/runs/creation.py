"""The creation of a run: planned, stored, waiting for its driver.

Called by views and tests, always with an authorised user. The run's row is made first,
under the testbed's lock, so that of concurrent requests one wins, and only the winner
touches the testbed's state. Many executions run beside each other; a run that changes
the testbed is alone. One that starts guests begins when its turn comes
(`places/queue.py`), mostly at once.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction

from orchestration.amounts import count_of
from orchestration.errors import ExecutionRefused, StateError
from orchestration.plan.execution import Execution
from orchestration.plan.images import ImageWish, require_name
from orchestration.plan.lifecycle import Plan
from orchestration.plan.model import BESIDE_OTHERS, Command, Kind, Options
from orchestration.plan.power import RUNNING, SHUT_OFF, Verb
from orchestration.plan.selected import GuestUp
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from orchestration.state.selection import fold, shortest
from testbed.access.permissions import acted_as
from testbed.celery import request_driver
from testbed.models import (
    Instruction,
    PlannedStart,
    Run,
    SavedImage,
    Task,
    Testbed,
)
from testbed.models.protection import require_unprotected
from testbed.models.runs import require_no_run
from testbed.runs.event_rows import clean
from testbed.runs.places.queue import start_waiting
from testbed.runs.places.tools import (
    end_tools,
    require_place,
    tools_of,
    with_capture_limits,
)
from testbed.testbeds.capacity import STARTS_GUESTS, rows_of
from testbed.testbeds.disk_space import (
    full_sizes,
    require_image_space,
    require_memory_space,
)
from testbed.testbeds.erasure.disks import (
    erased_by_clear,
    erased_by_recreating,
    erased_by_up,
)
from testbed.testbeds.erasure.losses import Erasure, require_confirmed
from testbed.testbeds.executions import (
    matched,
    plan_change,
    plan_checks,
    plan_execution,
    plan_saving,
    plan_snapshots,
)
from testbed.testbeds.findings import catalogue_of
from testbed.testbeds.planning import Prepared, planned, planned_guests, write
from testbed.testbeds.quotas import require_starts

# Their guests and networks go, and so do the tools that watch these.
ENDS_TOOLS = (Command.DOWN, Command.CLEAR_ARTEFACTS)
PlanJson = Mapping[str, object]
TITLE_LENGTH = 120


def create_run(
    testbed: Testbed,
    user: User,
    command: Command,
    options: Options | None = None,
    *,
    client_plan: PlanJson | None = None,
    confirm: str = "",
) -> Run:
    """Plan a command and store it as a run that waits for its driver.

    When no client drives it in time, the server does. An Up that has to wait for its
    turn has the status `waiting`. Raises: TestbedBusy (with user
    and start), SpecError, StateError (also: the client's plan is another one),
    Unconfirmed (it erases disks, and `confirm` is not their token), Protected (one of
    these is protected).
    """
    options = options or Options()
    switches = {
        "provision": options.provision,
        "rerun_scripts": options.rerun_scripts,
    }
    with transaction.atomic():
        _require_turn(testbed, command)
        if command == Command.CLEAR_ARTEFACTS:  # the record of all addresses, too
            require_unprotected(testbed)
        _require_erasable(testbed, _erased_by(testbed, command, options), confirm)
        run = _reserve(testbed, user, command, switches)
        prepared = planned(testbed, command, options)
        if client_plan is not None:
            own = json.loads(prepared.plan.to_json())
            _compare(own, json.loads(json.dumps(client_plan)))
        _store_prepared(run, prepared)
    return run


def create_execution(testbed: Testbed, user: User, wanted: Execution) -> Run:
    """Plan a command for guests and store it as a run that waits for its driver.

    Raises: SelectionFailed, StateError (the testbed is not up), TestbedBusy (a run
    changes it), ExecutionRefused (too many tools run), NotEnoughSpace.
    """
    with transaction.atomic():
        wanted = with_capture_limits(testbed, wanted)
        run = _reserve(testbed, user, Command.EXEC, asdict(wanted))
        run.title = clean(wanted.title.replace("\n", " "))
        plan = plan_execution(testbed, wanted)
        if wanted.capture is None:
            # Ticked guests are names, which its page shows in fewer words.
            run.options["selection"] = shortest(wanted.selection)
        _store(run, plan)
        if wanted.tool:
            require_place(run)
    return run


def create_power(testbed: Testbed, user: User, verb: Verb, selection: str) -> Run:
    """Plan a power verb for guests and store it as a run that waits for its driver.

    Raises: SelectionFailed, StateError (the testbed is not up), TestbedBusy, HostDrained
    (a guest that is off would be started there).
    """
    selection = clean(selection)
    options = {"verb": verb.kind.value, "selection": selection}
    with transaction.atomic():
        run = _reserve(testbed, user, Command.POWER, options)
        if verb.kind is Kind.POWER_ON:
            require_starts(testbed, matched(testbed, selection), verb.title)
        run.title = verb.title
        _store(run, plan_change(testbed, verb, selection))
    return run


def create_guest_up(
    testbed: Testbed, user: User, way: GuestUp, selection: str, *, confirm: str = ""
) -> Run:
    """Plan Up of some guests and store it as a run that waits for its driver.

    Raises: as `create_power`; StateError (the testbed was edited), NotEnoughSpace,
    Unconfirmed, Protected.
    """
    selection = clean(selection)
    options = {"mode": way.mode.value, "selection": selection}
    with transaction.atomic():
        run = _reserve(testbed, user, Command.UP_GUESTS, options)
        run.title = way.title
        names = matched(testbed, selection)
        require_starts(testbed, names, way.title)
        if way.loses_data:
            erasure = erased_by_recreating(testbed, names)
            _require_erasable(testbed, erasure, confirm)
        _store_prepared(run, planned_guests(testbed, names, way.options))
    return run


def create_snapshot(
    testbed: Testbed,
    user: User,
    wish: SnapshotWish,
    selection: str,
    *,
    leaves: Mapping[str, str] | None = None,
    erasure: Erasure | None = None,
    confirm: str = "",
) -> Run:
    """Plan an act on snapshots and store it as a run that waits for its driver.

    `leaves` has the status in which a restore leaves each guest. An `erasure` needs its
    token; an act that waited was confirmed before. Raises: as `create_power` (also where
    a restore would start a guest); Protected, Unconfirmed, LimitReached.
    """
    selection = clean(selection)
    options = asdict(wish) | {"selection": selection, "leaves": dict(leaves or {})}
    with transaction.atomic():
        run = _reserve(testbed, user, Command.SNAPSHOT, options)
        names = matched(testbed, selection)
        if wish.verb is SnapshotVerb.RESTORE:
            left = leaves or {}
            on = [name for name in names if left.get(name, RUNNING) != SHUT_OFF]
            require_starts(testbed, on, wish.sentence)
        if wish.erases:
            require_unprotected(testbed, names)
        if erasure:
            require_confirmed(erasure, confirm)
        if wish.stores:
            require_memory_space(testbed, names)
        run.title = clean(wish.sentence)[:TITLE_LENGTH]
        _store(run, plan_snapshots(testbed, wish, selection))
    return run


def create_saving(
    testbed: Testbed,
    user: User,
    names: Mapping[str, str],
    *,
    shut_down: bool,
    copy: Testbed | None = None,
) -> Run:
    """Plan to save guests as images of the user, each under its name, as a run.

    With `shut_down`, those that were seen running are shut down before and started
    after. The images may be those of a `copy` of the testbed. Raises: StateError (there
    are no disks), ExecutionRefused (no such guest; a name that cannot be used, or is in
    use), LimitReached, TestbedBusy.
    """
    names = {clean(guest): clean(name) for guest, name in names.items()}
    options: dict[str, object] = {"images": names, "selection": fold(names)}
    if copy is not None:
        options |= {"copy": copy.pk}
    with transaction.atomic():
        run = _reserve(testbed, user, Command.SAVE_IMAGE, options)
        seen = testbed.observed_guests.filter(name__in=names, status=RUNNING)
        running = tuple(seen.values_list("name", flat=True)) if shut_down else ()
        files = {guest: f"own-{secrets.token_hex(8)}.qcow2" for guest in names}
        plan = plan_saving(testbed, ImageWish(files, running))
        _reserve_images(run, names, files)
        first = next(iter(names))
        what = f"{first} as image {names[first]}"
        if len(names) > 1:
            what = f"{len(names)} guests as images"
        if copy is not None:
            what = f"the disks of {count_of(len(names), 'guest')} for {copy.name}"
        run.title = f"Save {what}"[:TITLE_LENGTH]
        _store(run, plan)
    return run


def _reserve_images(
    run: Run, names: Mapping[str, str], files: Mapping[str, str]
) -> None:
    """Make the rows of images that a run saves. Raises: as `create_saving`."""
    user, testbed = run.asked_by, run.testbed
    sizes, state = full_sizes(testbed), testbed.project.read_state()
    # Others wait from here on, so that no two get one name.
    require_image_space(user, sum(sizes[guest] for guest in names))
    own = SavedImage.objects.kept().filter(owner=user)
    taken = {*catalogue_of(user), *own.values_list("name", flat=True)}
    for name in names.values():
        require_name(name)
        if name in taken:
            raise ExecutionRefused(
                f"There is an image {name} already.", hint="Choose another name."
            )
        taken.add(name)
    for name in names:
        guest = state.guest(name)
        SavedImage.objects.create(
            owner=user,
            name=names[name],
            file=files[name],
            size_bytes=sizes[name],
            account=guest.user,
            has_cloud_init=bool(guest.seed),
            origin=f"{testbed.name}/{name}",
            run=run,
        )


def create_check(testbed: Testbed, user: User, guest: str) -> Run:
    """Plan a check of one guest and store it as a run that waits for its driver.

    One that is not over is returned instead. Raises: as `create_power`.
    """
    options = {"selection": clean(guest)}
    with transaction.atomic():
        Testbed.objects.select_for_update().get(pk=testbed.pk)
        others = testbed.runs.active().filter(command=Command.CHECK, options=options)
        if found := others.first():
            return found
        run = _reserve(testbed, user, Command.CHECK, options)
        run.title = "Check"
        _store(run, plan_checks(testbed, options["selection"]))
    return run


def _require_erasable(testbed: Testbed, erasure: Erasure, confirm: str) -> None:
    """Let a run erase disks. Raises: Protected, Unconfirmed."""
    if erasure.losses:
        require_unprotected(testbed, erasure.guests)
    require_confirmed(erasure, confirm)


def _erased_by(testbed: Testbed, command: Command, options: Options) -> Erasure:
    """Return what a command erases. Raises: as `planned`."""
    if command == Command.UP:
        return erased_by_up(testbed, options)
    if command == Command.CLEAR_ARTEFACTS:
        return erased_by_clear(testbed)
    return Erasure(command.value, str(testbed.pk), ())


def _store_prepared(run: Run, prepared: Prepared) -> None:
    """Store a plan with what its begin writes: now, or when its turn comes."""
    is_change = prepared.known is not None
    if not run.has_begun:
        PlannedStart.objects.create(
            run=run,
            state=prepared.state.model_dump_json(),
            is_change=is_change,
            needs=rows_of(prepared.needs),
        )
    else:
        write(run.testbed, prepared.state, is_change=is_change)
    _store(run, prepared.plan)


def _store(run: Run, plan: Plan) -> None:
    text = plan.to_json()
    run.plan, run.log_bytes = json.loads(text), len(text)
    run.save(update_fields=["plan", "log_bytes", "title", "options"])
    _create_rows(run, plan)
    if run.has_begun:
        transaction.on_commit(partial(request_driver, run.pk))
    else:
        start_waiting(run)
        run.refresh_from_db(fields=["status", "has_begun"])


def _reserve(
    testbed: Testbed, user: User, command: Command, options: Mapping[str, object]
) -> Run:
    """Make the run's row, and end the tools that make place for it.

    Raises: TestbedBusy when another run excludes it.
    """
    is_exclusive = _require_turn(testbed, command)
    if command in ENDS_TOOLS:
        end_tools(testbed, user)
    role, is_queued = acted_as(user, testbed), command in STARTS_GUESTS
    return Run.objects.create(
        testbed=testbed,
        asked_by=user,
        asked_as=role,
        asked_of=str(testbed.owner) if role else "",
        command=command.value,
        status=Run.Status.WAITING if is_queued else Run.Status.PENDING,
        has_begun=not is_queued,
        is_exclusive=is_exclusive,
        options=options,
        plan={},
    )


def _require_turn(testbed: Testbed, command: Command) -> bool:
    """Lock and read the testbed's row; return whether the command has to be alone on it.

    Raises: TestbedBusy when another run excludes it.
    """
    rows = Testbed.objects.select_for_update(of=("self",))
    # Who pays for it, and whether it is up, may have changed since the caller read it.
    testbed.refresh_from_db(from_queryset=rows.select_related("owner", "charged_group"))
    is_exclusive = command not in BESIDE_OTHERS
    others = Run.objects.filter(testbed=testbed)
    if command in ENDS_TOOLS:
        tools = list(tools_of(testbed).values_list("pk", flat=True))
        others = others.exclude(pk__in=tools)
    require_no_run(others if is_exclusive else others.changing().begun())
    return is_exclusive


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
