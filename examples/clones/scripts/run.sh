#!/bin/sh
# Runs at the end of up, on every clone.
set -eu

echo "run on $(hostname)"
