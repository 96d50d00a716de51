"""Batch enhancement on a Ray cluster: folders, lists of objects and films."""
