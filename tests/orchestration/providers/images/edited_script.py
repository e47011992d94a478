"""Shell programs of the product that a test changes on their way to this machine."""

from dataclasses import dataclass, replace

from orchestration.transport.base import Command, Completed
from orchestration.transport.local import LocalTransport


@dataclass(frozen=True)
class Edit:
    """One replacement in a shell program."""

    old: str
    new: str

    def of(self, cmd: Command) -> Command:
        """Return the command with its program edited; other commands stay.

        Fails when the program has no such text: the test would prove nothing.
        """
        if cmd.argv[:2] != ("sh", "-c"):
            return cmd
        program = cmd.argv[2]
        assert program.count(self.old) == 1, f"not once in the program: {self.old}"
        edited = program.replace(self.old, self.new)
        return replace(cmd, argv=("sh", "-c", edited, *cmd.argv[3:]))


class EditedTransport(LocalTransport):
    """This machine; it gets each shell program with an edit."""

    def __init__(self, edit: Edit) -> None:
        super().__init__()
        self._edit = edit

    def run(self, cmd: Command, **options: object) -> Completed:
        return super().run(self._edit.of(cmd), **options)
