"""Figures that one or two lessons show: SVG diagrams drawn by code, and plots that nothing else needs.

What labs and commands draw as well is in `utils.plots`.
"""
