"""Saving guests as images, and the page of the images that users saved."""
