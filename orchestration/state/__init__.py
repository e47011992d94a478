"""The meaning of a spec on our hosts: names, addresses, places. Pure."""
