"""`python -m orchestration`: the command line of the engine, without the web.

`cli.py` has the commands; this file passes the arguments and the exit code.
"""

import os
import sys

from orchestration.cli import main

# A shell reports this code for a program that SIGPIPE ended.
READER_LEFT = 141

if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` closed the pipe; Python flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READER_LEFT
    sys.exit(code)
