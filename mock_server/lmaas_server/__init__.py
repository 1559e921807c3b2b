"""The reference server of lmaas: the whole life of a model behind an API, on one machine, for real."""
