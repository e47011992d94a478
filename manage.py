#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys

from django.core.management import execute_from_command_line

# As a shell reports a program that SIGPIPE ended.
READER_LEFT = 141

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testbed.settings")
    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; Python flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READER_LEFT)
