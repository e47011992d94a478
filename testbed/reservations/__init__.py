"""Reservations: who may make them, when they fit, and what they keep from others."""
