"""Image files: downloaded, made, read, listed, verified, protected."""
