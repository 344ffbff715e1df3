"""Shared networks, one idea per file."""
