"""What hosts hold, whose it is, and the removal of what is nobody's."""
