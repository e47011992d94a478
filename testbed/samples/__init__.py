"""The load of guests and hosts over time: each look for an hour, minutes for a week."""
