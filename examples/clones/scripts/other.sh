#!/bin/sh
# The others follow it.
set -eu

echo "other on $(hostname)"
