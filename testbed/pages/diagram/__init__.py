"""The diagram of a testbed's networks, from the state to SVG lines."""
