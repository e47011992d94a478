"""`script/bench snapshots`: of one guest and of eight at one moment, against virsh."""
