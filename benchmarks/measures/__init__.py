"""Measures of pictures and of differences between pictures."""
