"""TensorRT plans: ONNX graphs compiled for one GPU and one version of TensorRT, checked before they are installed."""
