"""From files of every common form to clean documents, and from documents to tokens on disk."""
