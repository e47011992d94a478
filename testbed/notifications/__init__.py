"""Tells users of runs, ends and hosts: on pages, by mail and by webhooks."""
