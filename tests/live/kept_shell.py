"""A process of the product that stays, and runs Python code for the tests.

Each start of `manage.py shell` takes 1.5 s of processor time.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class KeptShell:
    """A process of `shell_inside.py`; `words` before Python's choose its place."""

    def __init__(
        self, words: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*words, sys.executable, "-m", "tests.live.shell_inside"],
                env=environment,
                cwd=Path(__file__).resolve().parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, code: str) -> str:
        """Return what the code prints. Raises: RuntimeError, with its traceback."""
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        questions.write(json.dumps(code) + "\n")
        questions.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"{code}: the process ended. {self._log.read_text()}")
        said, failure = json.loads(answer)
        if failure:
            raise RuntimeError(f"{code}: {said}{failure}")
        return str(said)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
