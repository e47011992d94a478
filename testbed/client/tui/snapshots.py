"""The snapshots of a testbed as a tree, and the acts on the one under the cursor."""

from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from orchestration.amounts import size
from testbed.client.tui.questions import NameQuestion, Question
from testbed.client.tui.words import cell, moment
from testbed.client.watching import Frame

ALL = "@all"
# A guest or @all, and the name of a snapshot, "" of the guest's own node.
Chosen = tuple[str, str]


class SnapshotTree(Tree[Chosen]):
    """Group snapshots, then each guest with its snapshots below their parents."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "create", "New", tooltip="Take a snapshot"),
        Binding("t", "restore", "Restore", tooltip="Restore the snapshot"),
        Binding(
            "delete",
            "remove",
            "Delete",
            key_display="Del",
            tooltip="Delete the snapshot",
        ),
    ]
    DEFAULT_CSS = "SnapshotTree { height: 1fr; background: $surface; }"

    class Wish(Message):
        """The body of a request about a snapshot."""

        def __init__(self, body: dict[str, object]) -> None:
            super().__init__()
            self.body = body

    def __init__(self) -> None:
        super().__init__("Snapshots", data=(ALL, ""))
        self._shown: Frame = {}
        self.show_root = False

    def show(self, found: Frame) -> None:
        """Show the snapshots of all guests, when they are others than before."""
        if found == self._shown:
            return
        line = self.cursor_line
        self._shown = found
        self.clear()
        every = self.root.add(cell("All guests"), data=(ALL, ""), expand=True)
        for group in found["groups"]:
            every.add_leaf(cell(_group_words(group), 120), data=(ALL, group["name"]))
        for guest in found["guests"]:
            self._add_guest(guest)
        self.root.expand()
        self.cursor_line = max(0, line)

    def action_create(self) -> None:
        """Ask for a name, and take a snapshot."""
        guest = self._chosen[0]
        words = "all guests" if guest == ALL else guest
        question = NameQuestion(f"Name of the new snapshot of {words}", "Take snapshot")
        self._ask(question, lambda: {"verb": "create", "name": question.typed})

    def action_restore(self) -> None:
        """Ask, and restore the snapshot under the cursor."""
        self._change("restore", "Restore", "What changed since is erased.")

    def action_remove(self) -> None:
        """Ask, and delete the snapshot under the cursor; on a guest's line, all of it."""
        guest, name = self._chosen
        if guest != ALL and not name:
            self.post_message(self.Wish(deletes_all(guest)))
            return
        self._change("delete", "Delete", "Its children stay.")

    def _change(self, verb: str, title: str, words: str) -> None:
        guest, name = self._chosen
        if not name:
            self.notify("Choose a snapshot first.", markup=False)
            return
        of = "all guests" if guest == ALL else guest
        text = f"{title} snapshot {name} of {of}?\n{words}"
        question = Question(text, title, is_grave=True)
        self._ask(question, lambda: {"verb": verb, "name": name})

    def _ask(self, question: Question | NameQuestion, body: Any) -> None:
        guest = self._chosen[0]

        def answered(agrees: bool | None) -> None:
            if agrees:
                self.post_message(self.Wish({"guest": guest, **body()}))

        self.app.push_screen(question, answered)

    @property
    def _chosen(self) -> Chosen:
        node = self.cursor_node
        return (node and node.data) or (ALL, "")

    def _add_guest(self, guest: Frame) -> None:
        name = guest["guest"]
        seen = f"{guest['status']}, seen {moment(guest['observed_at'])}"
        top = self.root.add(
            cell(f"{name} on {guest['host']}: {seen}", 120),
            data=(name, ""),
            expand=True,
        )
        nodes: dict[str, TreeNode[Chosen]] = {}
        for one in guest["snapshots"]:
            above = nodes.get(one["parent"], top)
            above.allow_expand = True
            nodes[one["name"]] = above.add(
                cell(_words(one), 120),
                data=(name, one["name"]),
                expand=True,
                allow_expand=False,
            )


def deletes_all(guest: str) -> dict[str, object]:
    """Return the wish to delete all snapshots of a guest; the server asks first."""
    return {"guest": guest, "verb": "delete", "every": True}


def _words(one: Frame) -> str:
    mark = " (current)" if one["current"] else ""
    memory = "the disk alone"
    if one["memory"]:
        memory = size(one["memory_bytes"]) if one["memory_bytes"] else "with memory"
    return f"{one['title']}{mark}, {moment(one['created_at'])}, {memory}"


def _group_words(group: Frame) -> str:
    lacks = f", without {', '.join(group['missing'])}" if group["missing"] else ""
    return f"{group['name']}, {moment(group['created_at'])}{lacks}"
