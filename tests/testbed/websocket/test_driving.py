"""Driving a run over its websocket: instructions, acks, results and the end.

Who drives is said by the first instruction; how it goes on when the driver's tab closes
or lets go is in test_driver.
"""

import pytest
from asgiref.sync import sync_to_async

from orchestration.plan.model import Command
from tests.testbed.websocket.browser_tab import drive

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def test_client_drives_a_run_to_its_end(tab, run, plan, owner, doors):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)

    await drive(socket, plan)
    end = await socket.until("run")

    assert end["status"] == "succeeded"
    assert await socket.next() == {"type": "close", "code": 1000}
    acks, results = socket.of("ack"), socket.of("result")
    assert [ack["index"] for ack in acks] == [index for index, _ in plan[:-1]]
    assert all(ack["valid"] and ack["message"] == "" for ack in acks)
    assert [result["index"] for result in results] == [i for i, _ in plan[:-1]]
    assert all(result["success"] for result in results)
    resource = results[0]["resources"][0]
    assert {"name", "status", "message", "hint", "seconds"} <= resource.keys()
    seqs = [f["seq"] for f in socket.seen if f["type"] in ("event", "result", "run")]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_ack_comes_before_all_that_its_instruction_causes(
    tab, run, plan, owner, doors
):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)

    await socket.send("instruction", index=0, kind="init")
    await socket.until("result", index=0)

    assert socket.seen[0]["type"] == "ack"
    kinds = [frame["kind"] for frame in socket.of("event")]
    assert kinds == ["instruction-started", "task-started", "log", "task-finished"]
    await socket.close()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"index": 1, "kind": "check-artefacts"}, "Instruction 0 is next, not 1."),
        ({"index": 0, "kind": "end"}, "Instruction 0 is init, not end."),
    ],
)
async def test_instruction_out_of_order_is_answered_and_not_executed(
    tab, run, plan, owner, doors, frame, reason
):
    socket = await tab(run.pk, owner)

    await socket.send("instruction", **frame)
    answer = await socket.next()

    assert answer.get("message") == reason
    assert answer["type"] == ("error" if frame["kind"] == "end" else "ack")
    assert doors.sent == []
    await socket.send("instruction", index=0, kind="init")
    assert (await socket.until("ack"))["valid"]
    await socket.close()


async def test_cancel_of_what_runs_ends_cancelled(tab, run, owner, doors):
    doors.is_automatic = True
    doors.engine.holds = {"init"}
    socket = await tab(run.pk, owner)
    await socket.send("instruction", index=0, kind="init")
    await socket.until("event", kind="task-started")

    await socket.send("cancel")
    await socket.send("cancel")
    end = await socket.until("run")

    assert end["status"] == "cancelled"
    assert await socket.to_close() == 1000
    (result,) = socket.of("result")
    assert (result["index"], result["success"]) == (0, False)
    kinds = [frame["kind"] for frame in socket.of("event")]
    assert kinds.count("cancel-requested") == 1


async def test_cancel_while_nothing_runs_ends_at_once(tab, run, owner, doors):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)
    await socket.send("instruction", index=0, kind="init")
    await socket.until("result")

    await socket.send("cancel")

    assert (await socket.until("run"))["status"] == "cancelled"


async def test_failed_instruction_has_a_result_and_ends_the_run(
    tab, run, plan, owner, doors
):
    doors.is_automatic = True
    doors.engine.fails = {"lab"}
    socket = await tab(run.pk, owner)

    await socket.send("instruction", index=0, kind="init")
    result = await socket.until("result")
    end = await socket.until("run")

    assert not result["success"]
    assert result["message"] == "1 of 1 failed: lab does not work."
    assert end["status"] == "failed"


async def test_down_speaks_the_same_protocol(
    tab, run, plan, owner, doors, make_run, testbed
):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)
    await drive(socket, plan)
    await socket.to_close()
    down = await sync_to_async(make_run)(Command.DOWN)

    socket = await tab(down.pk, owner)
    await drive(socket, [(i["index"], i["kind"]) for i in down.plan["instructions"]])

    assert (await socket.until("run"))["message"] == "Testbed stopped."
