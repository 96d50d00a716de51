"""A static page that enhances pictures inside the browser: the same ONNX files, in ONNX Runtime Web."""
