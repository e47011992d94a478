"""libvirt: the only importers of the libvirt binding."""
