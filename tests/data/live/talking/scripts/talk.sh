#!/bin/sh
number=0
while [ $number -lt 300 ]; do
    number=$((number + 1))
    echo "word $number"
    sleep 1
done
