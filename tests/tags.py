"""The tag of commands that tests run on this machine, where other tests may run, too."""

import os

# Ending the commands of this tag must not end those of a second run of the suite.
OWN_TAG = f"demo.r{os.getpid()}.b1.t0"
