"""ONNX graphs: how they are built, what contract they keep, what TensorRT takes."""
