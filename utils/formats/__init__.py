"""Model files: recognized by their first bytes, opened once, every header checked, tensors read lazily.

Lesson 04 builds safetensors and GGUF by hand; lesson 05 meets all formats.
"""
