"""Snapshots beyond one guest's page: chosen in the whole lab, and acts that wait."""
