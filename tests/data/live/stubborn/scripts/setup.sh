#!/bin/sh
# Every way to outlive the shell that a cancel ends; with sudo on a terminal of its own.
echo 'Defaults use_pty' > /etc/sudoers.d/zz-use-pty
sleep 600 &
setsid sleep 600 &
nohup sleep 600 > /dev/null 2>&1 &
(setsid sh -c 'sleep 600 & exec sleep 600' > /dev/null 2>&1 &)
env -i setsid sleep 600 &
(env -i setsid sleep 600 > /dev/null 2>&1 &)
env -i sh -c 'trap "" TERM HUP; sleep 600; sleep 600' &
sudo -u nocloud sleep 600 &
sudo sh -c 'trap "" TERM HUP; sleep 600; sleep 600' &
trap '' TERM HUP
while [ "$(ps -o args | grep -c '^sleep 600')" -lt 10 ]; do sleep 1; done
echo "all asleep"
sleep 600
