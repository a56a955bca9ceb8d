"""468 points on a face: the mesh network of mediapipe (Apache-2.0), as an ONNX file that ships."""
