"""Serving: a chat, a model cache with limits on every request, a page, an export. Lesson 15 builds it by hand."""
