"""PyTorch side of retinexrt: networks, losses, data and training."""
