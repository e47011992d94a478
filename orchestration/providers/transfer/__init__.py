"""Transfer of one content from main to the image store of a host."""
