"""Questions before something is erased, and the pages that erase."""
