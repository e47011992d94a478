"""Verifies a forge's webhook: that it knows the secret, and which branch was pushed.

GitHub, Gitea and Forgejo sign the body (HMAC-SHA256, hexadecimal), GitLab sends the
secret itself. Secrets are compared in constant time.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping

GITHUB, GITLAB = "X-Hub-Signature-256", "X-Gitlab-Token"
GITEA = ("X-Gitea-Signature", "X-Forgejo-Signature")
REF_BEGIN = "refs/heads/"


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a request was sent by one who knows the secret."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    expected = {
        GITHUB: f"sha256={signature}",
        GITLAB: secret,
        **dict.fromkeys(GITEA, signature),
    }
    given = {name: headers[name] for name in expected if name in headers}
    return bool(given) and all(
        hmac.compare_digest(expected[name].encode(), text.encode())
        for name, text in given.items()
    )


def pushed_branch(body: bytes) -> str | None:
    """Return the branch of a push; None where it is none. Raises: ValueError (no JSON)."""
    try:
        found = json.loads(body)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    ref = found.get("ref") if isinstance(found, dict) else None
    if not isinstance(ref, str) or not ref.startswith(REF_BEGIN):
        return None
    return ref.removeprefix(REF_BEGIN)
