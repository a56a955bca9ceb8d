"""Make the models of FaceStats: weights of many kinds to ONNX graphs and Treelite forests of one contract each."""
