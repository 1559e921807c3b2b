"""The verbs of the service; they know storage, jobs and the engine, and no HTTP."""
