"""The command `retinexrt`: the roof, which may import everything below it."""
