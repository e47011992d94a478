"""Trust in servers' certificates, beside the defaults of Python."""

import ssl


def lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a context accept an authority whose certificate lacks extensions; return it.

    Python 3.13 began to refuse it when it does not say what its key is for, and git,
    libldap and browsers accept it: the lab's authority counts on each distribution.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
