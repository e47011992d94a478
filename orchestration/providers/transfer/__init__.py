"""One content on its way from main to the image store of a host."""
