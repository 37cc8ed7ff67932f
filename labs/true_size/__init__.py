"""true_size."""
