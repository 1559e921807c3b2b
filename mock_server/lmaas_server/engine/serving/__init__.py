"""How models answer."""
