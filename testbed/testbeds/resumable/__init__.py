"""Files of testbeds that are sent in parts."""
