"""What the spec means on our hosts: names, addresses, places. Pure."""
