"""One class of endpoints per noun: HTTP in, a service's verb, HTTP out; no logic."""
