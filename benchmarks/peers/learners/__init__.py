"""A stream of corrections as each peer learns it: digits turned by 45 degrees, by a model of upright ones."""
