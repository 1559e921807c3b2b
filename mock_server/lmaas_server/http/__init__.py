"""What every route shares: who asks, how bodies are read, how answers and errors look. Knows Flask and no noun."""
