"""Arguments that shells, SSH, the guest agent and `printf` may each take for their own."""

ODD_WORDS = (
    *("a b", " ", "", "-n", "--", "'", '"', "`id`", "$HOME", "$(id)", "${x:-y}"),
    *("*", "?", "~", "!", "#", ";", "&&", "|", ">x", "\\", "\\n", "%s", "a\nb\n"),
    *("\t", "\r", "ü€漢🐚", "e\u0301", "\x1b[31m", "x" * 100_000),
)
