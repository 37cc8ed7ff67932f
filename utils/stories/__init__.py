"""A grammar of small stories: the corpus that nano learned (lesson 11), its exact entropy, and a parser as judge.

The story world: everything that can happen in it is written down in data/stories, so that every figure is known.
"""
