#!/bin/sh
# What all clones have in common; runs once, on the golden image.
set -eu

echo "shared on $(hostname)"
