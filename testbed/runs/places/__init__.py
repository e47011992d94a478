"""The places of the workers: which batches get them, and how many tools may hold them."""
