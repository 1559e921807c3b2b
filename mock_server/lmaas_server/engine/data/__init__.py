"""Input kinds: what reads the formats, checks every row and fits the preprocessing that is kept with a model."""
