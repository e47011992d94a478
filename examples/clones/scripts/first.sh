#!/bin/sh
# The first clone is the leader.
set -eu

echo "first on $(hostname)"
