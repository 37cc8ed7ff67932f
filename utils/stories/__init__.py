"""The story world behind utils/stories.py: its parts, and the reader that checks any text against its rules."""
