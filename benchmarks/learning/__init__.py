"""How well models learn from feedback: every floor of the loop, through the HTTP API, beside the naive method."""
