"""lmaas: a typed client for Large Models as a Service."""
