"""Snapshots of all guests of a testbed at one moment: taken, restored, put right."""
