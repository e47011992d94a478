"""`python -m orchestration`: the command line of the engine, without any web.

Everything is in `cli.py`; this file only hands over the arguments and the exit code.
"""

import sys

from orchestration.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
