"""The parts of `script/bench exec`: the targets, the contestants, copies, the page."""
