#!/bin/sh
echo "one disk is missing" >&2
exit 3
