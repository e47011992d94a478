"""Which action obeys which kind of instruction."""

from orchestration.instructions import (
    golden,
    guests,
    images,
    interfaces,
    networks,
    prepare,
    removal,
)
from orchestration.instructions.base import ActionTable
from orchestration.instructions.kinds import Kind

ACTIONS: ActionTable = {
    Kind.INIT: prepare.begin,
    Kind.CHECK_ARTEFACTS: prepare.check_artefacts,
    Kind.GENERATE_ARTEFACTS: prepare.generate_artefacts,
    Kind.CHECK_HOSTS: prepare.check_hosts,
    Kind.PREPARE_HOSTS: prepare.prepare_hosts,
    Kind.ENSURE_NETWORKS: networks.ensure_networks,
    Kind.ENSURE_BRIDGES: networks.ensure_bridges,
    Kind.ENSURE_LINKS: networks.ensure_links,
    Kind.FETCH_IMAGES: images.fetch_images,
    Kind.PUSH_IMAGES: images.push_images,
    Kind.PREPARE_GOLDENS: golden.prepare_goldens,
    Kind.PUSH_GOLDENS: images.push_images,
    Kind.CREATE_CLONES: images.create_disks,
    Kind.PUSH_ARTEFACTS: images.push_artefacts,
    Kind.CREATE_DISKS: images.create_disks,
    Kind.START_GUESTS: guests.start_guests,
    Kind.SET_UP_GUESTS: guests.set_up_guests,
    Kind.RUN_SCRIPTS: guests.run_scripts,
    Kind.STOP_CHANGED_GUESTS: removal.stop_changed_guests,
    Kind.DELETE_DISKS: removal.delete_disks,
    Kind.CHANGE_INTERFACES: interfaces.change_interfaces,
    Kind.FORGET_REMOVED: removal.forget_removed,
    Kind.STOP_GUESTS: guests.stop_guests,
    Kind.DELETE_LINKS: networks.delete_links,
    Kind.DELETE_BRIDGES: networks.delete_bridges,
    Kind.DELETE_NETWORKS: networks.delete_networks,
    Kind.CLEAN_HOSTS: prepare.clean_hosts,
    Kind.CLEAR_HOSTS: prepare.clear_hosts,
    Kind.CLEAR_ARTEFACTS: prepare.clear_artefacts,
    Kind.END: prepare.end,
}
