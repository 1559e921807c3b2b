"""The version of the distribution, where importing it costs nothing."""

__version__ = "0.1.0"
