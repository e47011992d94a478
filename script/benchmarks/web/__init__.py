"""`script/bench web` and the processes that send its bodies."""
