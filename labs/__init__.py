"""Labs: projects that each build one whole system from utils."""
