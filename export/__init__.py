"""From a PyTorch network to a self-describing ONNX file, FP32 and typed FP16."""
