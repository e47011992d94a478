"""Consoles of running guests, through libvirt."""
