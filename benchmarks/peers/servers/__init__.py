"""The network that is served, behind each peer in the way its own first page shows."""
