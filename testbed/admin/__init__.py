"""Django admin: the lab's own rows, and its snapshots.

Django finds the modules here.
"""

from testbed.admin import lab, snapshots

__all__ = ["lab", "snapshots"]
