"""The page of a user's notifications, and the one on which they are chosen."""
