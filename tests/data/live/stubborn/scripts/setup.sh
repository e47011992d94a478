#!/bin/sh
# Three ways to outlive the shell that a cancel ends.
sleep 600 &
setsid sleep 600 &
trap '' TERM
echo "three sleepers"
sleep 600
