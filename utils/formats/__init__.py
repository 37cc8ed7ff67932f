"""Model files: recognized by their first bytes, opened once, every header checked, tensors read lazily.

Lesson 05 builds safetensors and GGUF by hand; lesson 06 meets all formats.
"""
