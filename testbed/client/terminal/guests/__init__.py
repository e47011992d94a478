"""Commands about single guests: entered, started, brought up, observed."""
