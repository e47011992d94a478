"""The values that pages show; reads rows and files only."""
