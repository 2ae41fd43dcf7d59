"""Uploaded files and the parts of uploads: bytes with an owner."""
