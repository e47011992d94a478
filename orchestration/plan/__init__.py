"""State and command to an ordered plan; needs no machine, no libvirt, no SSH."""
