"""libvirt's snapshots of a guest's domain: their text, their tree, their verbs."""
