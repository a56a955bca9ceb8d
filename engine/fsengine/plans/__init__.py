"""TensorRT plans: ONNX graphs compiled for one GPU and one version of TensorRT, tried before they are served."""
