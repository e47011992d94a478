"""Reservations as pages show them: the calendar of a week, and single ones."""
