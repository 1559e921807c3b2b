"""The nouns of the API, one file each: every endpoint written once, as a flow."""
