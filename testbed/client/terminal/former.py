"""The words of kvm-compose, which ran testbeds before, as those of `testbed`. Pure."""

from collections.abc import Callable, Mapping

Words = tuple[str, ...]
# Former words → the present ones. GUEST and NAME are any word.
FORMER: Mapping[Words, Words] = {
    ("deployment", "create"): ("testbeds", "create"),
    ("deployment", "destroy"): ("testbeds", "destroy"),
    ("deployment", "list"): ("testbeds", "list"),
    ("deployment", "info"): ("testbeds", "info"),
    ("deployment", "reset-state", "NAME"): ("cancel", "--project-name", "NAME"),
    ("deployment", "reset-state"): ("cancel",),
    ("testbed-snapshot",): ("snapshot", "create", "--all"),
    ("cloud-images",): ("images", "list"),
    ("setup-config",): ("hosts",),
    ("analysis-tools", "tcp-dump", "GUEST", "NAME"): ("capture", "GUEST", "-w", "NAME"),
    ("exec", "GUEST", "shell-command"): ("exec", "GUEST", "--shell", "--"),
    ("exec", "GUEST", "user-script", "NAME"): ("exec", "GUEST", "--script", "NAME"),
    ("up", "--reapply-acl"): ("up",),
    ("up", "-a"): ("up",),
}
_ANY = ("GUEST", "NAME")
# What the former levels are now: how often `-v` is given.
LEVELS: Mapping[str, Words] = {
    "error": (),
    "warn": (),
    "info": ("-v",),
    "trace": ("-v", "-v"),
}
_VERBOSITY = ("-v", "--verbosity")


def _without_guests(behind: list[str]) -> list[str]:
    return [word for word in behind if word not in ("-s", "--snapshot-guests")]


def _behind_dashes(behind: list[str]) -> list[str]:
    return ["--", *behind] if behind else []


_BEHIND: Mapping[Words, Callable[[list[str]], list[str]]] = {
    ("testbed-snapshot",): _without_guests,
    ("exec", "GUEST", "user-script", "NAME"): _behind_dashes,
}


def present(args: list[str]) -> tuple[list[str], str]:
    """Return a command's present words, and what to say of former ones; "" of none."""
    for old, new in FORMER.items():
        found = _matched(old, args)
        if found is None:
            continue
        behind = args[len(old) :]
        rest = _BEHIND.get(old, list)(behind)
        said, now = (" ".join(_filled(words, found)) for words in (old, new))
        return [*_filled(new, found), *rest], f"`{said}` is `{now}` now."
    return args, ""


def without_levels(args: list[str]) -> tuple[list[str], str]:
    """Return all words with a former `-v LEVEL` as it is now, and what to say."""
    end = args.index("--") if "--" in args else len(args)
    for at, word in enumerate(args[:end]):
        option, equals, level = word.partition("=")
        if option not in _VERBOSITY or (equals and option == "-v"):
            continue
        level = level if equals else "".join(args[at + 1 : at + 2])
        if level in LEVELS:
            now = LEVELS[level]
            behind = args[at + (1 if equals else 2) :]
            meant = f"`{' '.join(now)}`" if now else "the usual"
            return [*args[:at], *now, *behind], f"`{option} {level}` is {meant} now."
    return args, ""


def _matched(old: Words, args: list[str]) -> dict[str, str] | None:
    """Return the words that GUEST and NAME stand for; None where others are there."""
    found: dict[str, str] = {}
    if len(args) < len(old):
        return None
    for wanted, word in zip(old, args, strict=False):
        if wanted in _ANY and not word.startswith("-"):
            found[wanted] = word
        elif wanted != word:
            return None
    return found


def _filled(words: Words, found: Mapping[str, str]) -> list[str]:
    return [found.get(word, word) for word in words]
