"""State and command to plan: what to do, in order; needs no machine, no libvirt, no SSH."""
