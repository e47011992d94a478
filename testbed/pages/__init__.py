"""What pages show, as values; reads rows and files only."""
