"""Real Git repositories for the tests, made by the machine's git."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Grace Hopper",
    "GIT_AUTHOR_EMAIL": "grace@example.org",
    "GIT_COMMITTER_NAME": "Grace Hopper",
    "GIT_COMMITTER_EMAIL": "grace@example.org",
    "HOME": "/nonexistent",
}
TREE, LINK, SUBMODULE, FILE = "040000", "120000", "160000", "100644"


class Forge:
    """A bare repository in a folder; commits are made of plumbing, so also odd ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", ".")

    @property
    def url(self) -> str:
        """Return its address for the protocol `file`."""
        return f"file://{self.folder}"

    def git(self, *words: str, given: bytes = b"") -> str:
        """Run git in it and return its output without the last line end."""
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env=ENVIRONMENT,
            input=given,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    def blob(self, content: bytes) -> str:
        """Add a content; return its object."""
        return self.git("hash-object", "-w", "--stdin", given=content)

    def tree(self, entries: list[tuple[str, str, str]]) -> str:
        """Add a folder of modes, objects and names, unchecked; return its object."""
        kinds = {TREE: "tree", SUBMODULE: "commit"}
        lines = (
            f"{mode} {kinds.get(mode, 'blob')} {found}\t{name}\0"
            for mode, found, name in entries
        )
        return self.git(
            "mktree", "-z", "--missing", given="".join(lines).encode("utf-8")
        )

    def commit_tree(
        self, tree: str, subject: str = "change", branch: str = "main"
    ) -> str:
        """Make a commit without a parent the newest of a branch; return it."""
        commit = self.git("commit-tree", tree, "-m", subject)
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def commit(self, files: Mapping[str, str | bytes], subject: str = "change") -> str:
        """Commit these files alone to main; return the commit."""
        index = {"GIT_INDEX_FILE": str(self.folder / "index.new")}
        (self.folder / "index.new").unlink(missing_ok=True)
        lines = []
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            lines.append(f"{FILE} {self.blob(data)}\t{path}\0")
        words = {"cwd": self.folder, "env": {**ENVIRONMENT, **index}, "check": True}
        subprocess.run(
            ["git", "update-index", "-z", "--index-info"],
            input="".join(lines).encode(),
            **words,
        )
        found = subprocess.run(["git", "write-tree"], capture_output=True, **words)
        return self.commit_tree(found.stdout.decode().strip(), subject)
