"""What lab 03 watches a machine with: a live picture of the run, and how memory moved during it."""
