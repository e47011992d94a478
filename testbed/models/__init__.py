"""The rows of the web: testbeds, hosts, observations, runs and their events.

Rows are the truth that every page, tab and reconnecting socket reads. Rules that need
one row live here; the packages `testbeds`, `hosts`, `images`, `orphans` and `runs`
change rows, and `runs` alone writes events, tasks and batches.
"""

from testbed.models.accounts.directory import DirectoryEntry
from testbed.models.accounts.invitations import Invitation
from testbed.models.accounts.sessions import WebSession
from testbed.models.accounts.uploads import Upload
from testbed.models.allowances import Allowance, GroupAllowance
from testbed.models.checks.new_hosts import HostFinding, NewHost
from testbed.models.cleanups import Cleanup, CleanupItem
from testbed.models.commands import SavedCommand
from testbed.models.expiry import Expiry
from testbed.models.hosts import Host
from testbed.models.images import ImageStore, SavedImage
from testbed.models.inventory import Inventory, MissingPart, ObservedSnapshots
from testbed.models.listing.labels import Favourite, HiddenTour, Tag
from testbed.models.listing.names import FormerName, KeyCount
from testbed.models.notifications.choices import NotificationChoice
from testbed.models.notifications.notifications import (
    Delivery,
    HostSilence,
    Notification,
)
from testbed.models.progress import Batch, Event, Instruction, PlannedStart, Task
from testbed.models.protection import Protected, Protection
from testbed.models.record.entries import Entry
from testbed.models.record.keyed_requests import KeyedRequest
from testbed.models.record.logins import LoginCount
from testbed.models.record.tokens import ApiToken
from testbed.models.reservations.rows import Reservation
from testbed.models.runs import Run
from testbed.models.samples import Sample, SampleHour
from testbed.models.snapshots.lab import LabSnapshot
from testbed.models.snapshots.orders import SnapshotOrder
from testbed.models.snapshots.schedules import SnapshotSchedule
from testbed.models.sources.rows import Fetch, Source
from testbed.models.ssh_keys import JumpReach, KeyProblem, UserKey
from testbed.models.testbeds import GroupManager, ObservedGuest, Share, Testbed
from testbed.models.trash import TrashItem

__all__ = [
    "Allowance",
    "ApiToken",
    "Batch",
    "Cleanup",
    "CleanupItem",
    "Delivery",
    "DirectoryEntry",
    "Entry",
    "Event",
    "Expiry",
    "Favourite",
    "Fetch",
    "FormerName",
    "GroupAllowance",
    "GroupManager",
    "HiddenTour",
    "Host",
    "HostFinding",
    "HostSilence",
    "ImageStore",
    "Instruction",
    "Inventory",
    "Invitation",
    "JumpReach",
    "KeyCount",
    "KeyProblem",
    "KeyedRequest",
    "LabSnapshot",
    "LoginCount",
    "MissingPart",
    "NewHost",
    "Notification",
    "NotificationChoice",
    "ObservedGuest",
    "ObservedSnapshots",
    "PlannedStart",
    "Protected",
    "Protection",
    "Reservation",
    "Run",
    "Sample",
    "SampleHour",
    "SavedCommand",
    "SavedImage",
    "Share",
    "SnapshotOrder",
    "SnapshotSchedule",
    "Source",
    "Tag",
    "Task",
    "Testbed",
    "TrashItem",
    "Upload",
    "UserKey",
    "WebSession",
]
