#!/bin/sh
nohup sleep 701 > /dev/null 2>&1 &
exit 3
