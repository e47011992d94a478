"""An empty package; the probes are in `boot/diagnosis`."""
