"""What learns and predicts: tensors, models, losses. Knows no HTTP, no database and no clock but its own."""
