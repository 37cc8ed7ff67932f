"""Datasets: from files of every common form to clean documents, and from documents to tokens on disk.

Lesson 10 builds this by hand. reading opens files, readers and tfrecord know their forms, records says what they
give, cleaning, duplicates and splitting work on documents, corpus streams them, and bins writes the tokens.
"""
