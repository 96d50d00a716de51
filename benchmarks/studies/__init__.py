"""Measurements behind single paragraphs of the documents."""
