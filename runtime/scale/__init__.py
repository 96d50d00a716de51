"""Past one process: folders, object lists and films on a Ray cluster, and model repositories for Triton.

Importing it costs nothing: Ray is imported when a cluster is joined.
"""
