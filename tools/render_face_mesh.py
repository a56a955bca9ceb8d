"""Write the mesh network that composites use, from the wheel of mediapipe.

pip download --no-deps mediapipe==0.10.14
python tools/render_face_mesh.py mediapipe-0.10.14-*.whl
"""

from __future__ import annotations

from pathlib import Path

import click

from fsengine.terminal.messages import say
from tool_command import ToolCommand

SHIPPED = Path(__file__).resolve().parents[1] / "analysis" / "fsanalysis" / "composite" / "mesh" / "face_mesh.onnx"


def write_mesh(wheel: Path, out: Path) -> Path:
    """Convert the network to ONNX.

    Args:
        wheel: Of mediapipe 0.10.14.
        out: File to write.

    Raises:
        InvalidInputError: It is another wheel.
    """
    from fsexport.sources.mediapipe_wheel import FACE_LANDMARK, read_wheel_model
    from fsexport.sources.tflite_graph import export_tflite

    return export_tflite(read_wheel_model([wheel], FACE_LANDMARK), out)


@click.command(cls=ToolCommand)
@click.argument("wheel", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(wheel: Path) -> None:
    """Write the mesh network that composites use, from the WHEEL of mediapipe 0.10.14.

    Example: python tools/render_face_mesh.py mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.whl
    """
    say(f"wrote {write_mesh(wheel, SHIPPED)}")


if __name__ == "__main__":
    main()
