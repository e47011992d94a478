"""Open vSwitch: its database, bridges, links and tap ports."""
