"""Model files, byte by byte: what others write, read and written without them."""
