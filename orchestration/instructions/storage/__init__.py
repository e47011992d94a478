"""Images and disks: brought to the hosts, made, replaced, deleted."""
