"""The answers of a command as programs get them: one JSON, or the text of one guest."""

import json
from collections.abc import Iterable, Iterator

from orchestration.instructions.execution.answers import answer_lines
from orchestration.terminal import plain
from testbed.models import Run, Task
from testbed.pages.execution.answers import Answers, Block, answer_file
from testbed.pages.streaming import PIECE_BYTES


def text_pieces(run: Run, task: Task, stream: str | None) -> Iterator[bytes]:
    """Yield the output of one guest as text, of one stream or of both."""
    lines = answer_lines(answer_file(run, task))
    return joined(f"{plain(text)}\n" for of, text in lines if stream in (None, of))


def json_pieces(run: Run, answers: Answers) -> Iterator[bytes]:
    """Yield the JSON of all answers with their output, in pieces."""
    return joined(json_texts(run, answers, has_output=True))


def json_texts(run: Run, answers: Answers, *, has_output: bool) -> Iterator[str]:
    """Yield the JSON of all answers, one block after the other."""
    head = {
        "run": run.pk,
        "testbed": run.testbed.full_name,
        "command": run.title,
        "selection": run.options.get("selection", ""),
        "status": run.status,
        "message": run.message,
        "hint": run.hint,
        "running": answers.running,
        "waiting": answers.waiting,
    }
    yield f'{json.dumps(head)[:-1]}, "blocks": ['
    for number, block in enumerate(answers.blocks):
        yield f"{', ' if number else ''}{json.dumps(_shape(block))[:-1]}"
        if has_output:
            yield from _json_output(run, block)
        yield "}"
    yield "]}\n"


def _shape(block: Block) -> dict[str, object]:
    answer = block.answer
    return {
        "guests": block.names,
        "folded": block.folded,
        "count": block.count,
        "status": block.status,
        "exit_code": answer.exit_code if answer else None,
        "message": block.message,
        "hint": block.first.hint,
        "seconds": block.seconds,
        "lines": answer.lines if answer else 0,
        "size_bytes": answer.size_bytes if answer else 0,
        "digest": answer.digest if answer else "",
        "is_cut": answer.is_cut if answer else False,
        "by_agent": block.by_agent,
    }


def _json_output(run: Run, block: Block) -> Iterator[str]:
    """Yield the key `output`: pairs of stream and line, or null when it is gone."""
    path = answer_file(run, block.first)
    if block.answer is None or not path.is_file():
        yield ', "output": null'
        return
    yield ', "output": ['
    for number, (stream, text) in enumerate(answer_lines(path)):
        yield f"{', ' if number else ''}{json.dumps([stream, text])}"
    yield "]"


def joined(texts: Iterable[str]) -> Iterator[bytes]:
    """Join short texts to pieces that are worth sending."""
    pending: list[str] = []
    length = 0
    for text in texts:
        pending.append(text)
        length += len(text)
        if length >= PIECE_BYTES:
            yield "".join(pending).encode(errors="replace")
            pending, length = [], 0
    if pending:
        yield "".join(pending).encode(errors="replace")
