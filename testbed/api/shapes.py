"""The JSON shapes that views answer with: a run's instructions, hosts, an error."""

from dataclasses import asdict
from json import dumps

from orchestration.errors import SpecError, TestbedError
from orchestration.plan.lifecycle import Plan
from orchestration.state.model import HostKind
from testbed.models import Host, Run, TrashItem


def instructions_of(run: Run) -> list[dict[str, object]]:
    """Return the stored plan's instructions as the protocol shows them."""
    plan = Plan.from_json(run.plan if isinstance(run.plan, str) else dumps(run.plan))
    return [
        {
            "index": instruction.index,
            "kind": instruction.kind,
            "title": instruction.title,
            "resources": [run.named(one.name) for one in instruction.resources],
        }
        for instruction in plan.instructions
    ]


def host_json(host: Host, guests: int, *, for_admin: bool) -> dict[str, object]:
    """Return a host as its page shows it, and to lab admins the place of its SSH.

    `guests` is how many run there. What was not observed yet is null, and so are load
    and free space of a host that did not answer the last look.
    """
    measured = host.is_answering
    shape: dict[str, object] = {
        "name": host.name,
        "main": host.is_main,
        "simulated": host.kind == HostKind.SIMULATED,
        "state": host.availability,
        "drained": host.drained_words or None,
        "guests": guests,
        "cpus": host.cpus or None,
        "load": host.load if measured and host.cpus else None,
        "cpu_percent": host.cpu_percent if measured else None,
        "memory_mib": host.memory_mib or None,
        "free_memory_mib": host.free_memory_mib
        if measured and host.memory_mib
        else None,
        "disk_bytes": host.disk_bytes or None,
        "free_disk_bytes": host.disk_free_bytes
        if measured and host.disk_bytes
        else None,
        "runs_with": host.domain_type,
        "datapath": host.datapath,
        "versions": host.versions,
        "problem": host.problem,
        "remark": host.remark,
        "observed_at": host.checked_at,
    }
    if for_admin:
        shape |= {"address": host.address, "port": host.port, "user": host.user}
    return shape


def problem_json(problem: TestbedError) -> dict[str, object]:
    """Return an error; a SpecError with its findings."""
    shape: dict[str, object] = {"error": problem.message, "hint": problem.hint}
    if isinstance(problem, SpecError):
        shape["findings"] = [asdict(finding) for finding in problem.findings]
    return shape


def trash_json(item: TrashItem) -> dict[str, object]:
    """Return a thing of the trash."""
    return {
        "id": item.pk,
        "testbed": item.slug,
        "path": item.path,
        "owner": item.owner.get_username(),
        "bytes": item.size_bytes,
        "deleted_by": str(item.deleted_by or ""),
        "deleted_at": item.deleted_at,
        "until": item.until,
    }
