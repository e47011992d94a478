#!/bin/sh
echo "set up on $(hostname)"
