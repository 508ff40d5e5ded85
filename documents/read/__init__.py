"""Readers: a file becomes a `documents.document.Document`."""
