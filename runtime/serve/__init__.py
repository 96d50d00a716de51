"""`retinexrt serve`: the page and a small HTTP API, for whoever is let in."""
