"""Lessons: numbered notebooks, and the figures that a single lesson shows."""
