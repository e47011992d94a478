"""The kinds of instruction: the words between a plan and the actions that obey it.

`plan.py` writes them, the engine looks actions up by them, and they are on the wire
and in stored runs; so a kind is never renamed, only added. In the order of `up`,
then of what an edited YAML adds to it, then of `down`.
"""

from enum import StrEnum


class Kind(StrEnum):
    """What an instruction does to each of its resources."""

    INIT = "init"
    CHECK_ARTEFACTS = "check-artefacts"
    GENERATE_ARTEFACTS = "generate-artefacts"
    CHECK_HOSTS = "check-hosts"
    PREPARE_HOSTS = "prepare-hosts"
    ENSURE_NETWORKS = "ensure-networks"
    ENSURE_BRIDGES = "ensure-bridges"
    ENSURE_LINKS = "ensure-links"
    FETCH_IMAGES = "fetch-images"
    PREPARE_GOLDENS = "prepare-goldens"
    PUSH_GOLDENS = "push-goldens"
    CREATE_CLONES = "create-clones"
    PUSH_IMAGES = "push-images"
    PUSH_ARTEFACTS = "push-artefacts"
    CREATE_DISKS = "create-disks"
    START_GUESTS = "start-guests"
    SET_UP_GUESTS = "set-up-guests"
    RUN_SCRIPTS = "run-scripts"
    STOP_CHANGED_GUESTS = "stop-changed-guests"
    DELETE_DISKS = "delete-disks"
    CHANGE_INTERFACES = "change-interfaces"
    FORGET_REMOVED = "forget-removed"
    STOP_GUESTS = "stop-guests"
    DELETE_LINKS = "delete-links"
    DELETE_BRIDGES = "delete-bridges"
    DELETE_NETWORKS = "delete-networks"
    CLEAN_HOSTS = "clean-hosts"
    CLEAR_HOSTS = "clear-hosts"
    CLEAR_ARTEFACTS = "clear-artefacts"
    END = "end"


# Whose tasks run commands inside the guest that the resource is named after.
ENTERS_GUESTS = frozenset({Kind.PREPARE_GOLDENS, Kind.SET_UP_GUESTS, Kind.RUN_SCRIPTS})
