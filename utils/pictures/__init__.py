"""Pictures of one subject each, drawn with what utils/plots.py gives them, and views that move."""
