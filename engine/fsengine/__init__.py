"""The engine of FaceStats: contracts, model packs, the embedded Triton server and its backends."""
