"""How models learn: training, evaluation, updates from feedback and the gate before promotion."""
