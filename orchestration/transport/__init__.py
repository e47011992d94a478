"""How to reach a machine: base (the interface), local, ssh."""
