"""Export PyTorch networks to self-describing ONNX files, FP32 and typed FP16."""
