"""Pure builders and readers of libvirt's XML."""
