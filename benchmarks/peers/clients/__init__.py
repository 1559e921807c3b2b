"""The same calls as each peer makes them, beside bare httpx."""
