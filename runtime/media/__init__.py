"""Pictures and films: files in, files out."""
