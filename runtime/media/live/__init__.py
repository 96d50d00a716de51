"""Live sources: cameras, network streams and pipes, and where their enhanced frames go."""
