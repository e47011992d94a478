"""Runs one command of a testbed through the product's own websocket, and shows it.

Called by script/demo: `run_command.py URL USER PASSWORD_FILE TESTBED COMMAND [FOLDER]`.
With FOLDER a missing testbed is created from it. The exit status is 0 when the run
succeeded, 130 when it was cancelled, else 1.
"""

import sys
import time
from pathlib import Path

from orchestration.amounts import progress_line
from testbed.client.api import Client, Frame, Refused

PROGRESS_EVERY_S = 2.0
MARKS = {
    "done": "ok",
    "unchanged": "=",
    "warning": "!",
    "failed": "FAILED",
    "cancelled": "cancelled",
}


class Screen:
    """Prints frames as lines that a person can follow."""

    def __init__(self, instructions: tuple[Frame, ...]) -> None:
        self._titles = {entry["index"]: entry["title"] for entry in instructions}
        self._shown_at: dict[tuple[str, str], float] = {}

    def show(self, frame: Frame) -> None:
        """Print one frame; a result stands for its resources."""
        if frame["type"] == "event" and frame["kind"] == "instruction-started":
            print(f"  {self._titles.get(frame['index'], '')}", flush=True)
        elif frame["type"] == "event" and frame["kind"] == "log":
            print(f"      {frame['resource']} | {frame['text']}", flush=True)
        elif frame["type"] == "event" and frame["kind"] == "task-progressed":
            self._progress(frame)
        elif frame["type"] == "result":
            self._result(frame)
        elif frame["type"] == "ack" and not frame["valid"]:
            print(f"  not accepted: {frame['message']}", flush=True)

    def _progress(self, frame: Frame) -> None:
        """Print a copy's progress, at a limited rate."""
        now, place = time.monotonic(), (frame["resource"], frame["host"])
        shown_at = self._shown_at.setdefault(place, now)
        if frame["data"]["unit"] == "B" and now - shown_at >= PROGRESS_EVERY_S:
            self._shown_at[place] = now
            line = progress_line(frame["data"])
            print(f"      {frame['resource']} on {frame['host']} | {line}", flush=True)

    def _result(self, frame: Frame) -> None:
        for entry in frame["resources"]:
            mark = MARKS.get(entry["status"], entry["status"])
            text = f"    {mark:<6} {entry['name']} ({entry['seconds']:.1f} s)"
            print(f"{text} {entry['message']}".rstrip(), flush=True)
            if entry["status"] == "failed" and entry["hint"]:
                print(f"           {entry['hint']}", flush=True)


def main(arguments: list[str]) -> int:
    """Sign in, create when needed, run, report."""
    url, user, password_file, slug, command, *folder = arguments
    client = Client(url)
    try:
        client.sign_in(user, Path(password_file).read_text().strip())
        if folder and not client.has_testbed(slug):
            client.create_testbed(slug, Path(folder[0]))
            print(f"  created testbed {slug}", flush=True)
        run = client.start(slug, command)
        status = client.drive(run, Screen(run.instructions).show)
    except Refused as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return 1
    finally:
        client.close()
    print(f"  {command} {status}: {url}/runs/{run.number}/", flush=True)
    return {"succeeded": 0, "cancelled": 130}.get(status, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
