"""Pages of reservations: the calendar, single ones, and the acts on them."""
