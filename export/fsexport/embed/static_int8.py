"""Static int8 of an encoder, for a CPU: QuantizeLinear and DequantizeLinear around its constant matrix products.

Scales are fixed by calibration, so a face's numbers do not depend on what it shares a batch with, as they would
with dynamic quantization. Products of two activations, normalizations and the patch embedding stay in fp32.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsexport.artifact.onnx_file import save_onnx
from fsexport.embed.calibration import calibration_batches
from fsexport.embed.vit_graph import plain


def quantize_encoder(source: Path, crops: NDArray[np.uint8], out_path: Path) -> Path:
    """Write the int8 form of an fp32 encoder.

    Activations are uint8 per tensor; weights int8 per channel, in 7 bits, because x86 processors without VNNI
    add pairs of products in 16 bits, which 8-bit weights overflow (onnxruntime: docs on quantization).

    Args:
        source: The fp32 graph.
        crops: uint8 (N, S, S, 3), RGB, real ones: their activations set the scales.
        out_path: The ONNX file to write.

    Raises:
        ExportError: There are too few crops, or the graph cannot be quantized.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches = calibration_batches(crops)
    name = onnx.load(source, load_external_data=False).graph.input[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives the crops a few at a time."""

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(batches, None)
            return None if batch is None else {name: batch}

    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(source), str(prepared), skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantized),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return save_onnx(plain(onnx.load(quantized)), out_path, tensorrt=False)
