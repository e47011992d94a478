"""The table from kinds of instruction to their actions."""

from orchestration.instructions import (
    artefacts,
    golden,
    guests,
    hosts,
    interfaces,
    networks,
    scripts,
)
from orchestration.instructions.execution import fetches, programs, pushes
from orchestration.instructions.storage import clone_disks, disks, images
from orchestration.instructions.task import ActionTable
from orchestration.plan.model import Kind

ACTIONS: ActionTable = {
    Kind.INIT: artefacts.begin,
    Kind.CHECK_ARTEFACTS: artefacts.check_artefacts,
    Kind.GENERATE_ARTEFACTS: artefacts.generate_artefacts,
    Kind.CHECK_HOSTS: hosts.check_hosts,
    Kind.PREPARE_HOSTS: hosts.prepare_hosts,
    Kind.ENSURE_FIREWALL: hosts.ensure_firewall,
    Kind.ENSURE_NETWORKS: networks.ensure_networks,
    Kind.ENSURE_BRIDGES: networks.ensure_bridges,
    Kind.ENSURE_LINKS: networks.ensure_links,
    Kind.FETCH_IMAGES: images.fetch_images,
    Kind.PUSH_IMAGES: images.push_images,
    Kind.PREPARE_GOLDENS: golden.prepare_goldens,
    Kind.PUSH_GOLDENS: images.push_images,
    Kind.CREATE_CLONE_DISKS: clone_disks.create_clone_disks,
    Kind.CREATE_CLONES: disks.create_clones,
    Kind.PUSH_ARTEFACTS: artefacts.push_artefacts,
    Kind.CREATE_DISKS: disks.create_disks,
    Kind.START_GUESTS: guests.start_guests,
    Kind.SET_UP_GUESTS: scripts.set_up_guests,
    Kind.RUN_SCRIPTS: scripts.run_scripts,
    Kind.STOP_CHANGED_GUESTS: guests.stop_changed_guests,
    Kind.DELETE_DISKS: disks.delete_disks,
    Kind.CHANGE_INTERFACES: interfaces.change_interfaces,
    Kind.FORGET_REMOVED: artefacts.forget_removed,
    Kind.STOP_GUESTS: guests.stop_guests,
    Kind.DELETE_LINKS: networks.delete_links,
    Kind.DELETE_BRIDGES: networks.delete_bridges,
    Kind.DELETE_NETWORKS: networks.delete_networks,
    Kind.CLEAN_HOSTS: hosts.clean_hosts,
    Kind.CLEAR_HOSTS: hosts.clear_hosts,
    Kind.CLEAR_ARTEFACTS: artefacts.clear_artefacts,
    Kind.RUN_PROGRAM: programs.run_program,
    Kind.PUSH_FILES: pushes.push_files,
    Kind.FETCH_FILES: fetches.fetch_files,
    Kind.END: artefacts.end,
}
