#!/bin/sh
# Say which clone this is.
set -eu

echo "This is $(hostname)."
ip -4 addr show
