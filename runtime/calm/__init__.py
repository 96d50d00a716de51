"""Films: what one frame knows of those before it."""
