"""The rules on which users may see and do which things."""
