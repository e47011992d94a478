"""A run from its creation to its proven end; Celery only carries it."""
