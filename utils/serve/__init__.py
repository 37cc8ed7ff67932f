"""Serving: a chat, a model cache with limits on every request, a page, an export. Lesson 14 builds it by hand."""
