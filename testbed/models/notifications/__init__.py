"""Rows of what users are told, and of the mails and webhooks that tell it."""
