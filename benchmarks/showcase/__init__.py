"""Pages and sheets that show what the networks do."""
