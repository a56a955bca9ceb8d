"""The views of a photo that a detector looks at: scales and windows, cut from one letterboxed square.

A network finds faces in a range of sizes. It sees the photo several times: shrunk, so that a face that fills the
frame becomes small enough, and enlarged in overlapping windows, so that the small faces of a group become large
enough. Every view is cut from `detector_input` by nodes with fixed positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX
from fsexport.graphs.graph_builder import GraphBuilder


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One scale of the photo and the windows that the network sees of it.

    Attributes:
        frame_px: Side to which the detector's square of 640 px is scaled.
        window_px: Side of the network's input. Larger than `frame_px`: the frame lies in the middle of a black
            window. Smaller: windows are laid over the frame.
        windows_per_side: Windows along each axis, spread evenly from edge to edge.
        score_threshold: Candidates of this view count above this score.
        max_face_px: Candidates of this view count below this width, in pixels of the detector's square; None
            for no limit. Keeps windows from reporting a part of a large face.
    """

    frame_px: int
    window_px: int
    windows_per_side: int = 1
    score_threshold: float
    max_face_px: float | None = None

    def __post_init__(self) -> None:
        if not 32 <= self.frame_px <= 4 * DETECTOR_SIDE_PX:
            raise ValueError(f"frame_px is {self.frame_px}, expected 32 to {4 * DETECTOR_SIDE_PX}")
        if not 0.0 < self.score_threshold < 1.0:
            raise ValueError(f"score_threshold is {self.score_threshold}, expected a number between 0 and 1")
        if self.windows_per_side < 1 or (self.windows_per_side > 1 and self.window_px >= self.frame_px):
            raise ValueError(
                f"{self.windows_per_side} windows of {self.window_px} px a side do not fit a frame of "
                f"{self.frame_px} px; expected one window, or several smaller than the frame"
            )
        if self.windows_per_side * self.window_px < self.frame_px:
            raise ValueError(
                f"{self.windows_per_side} windows of {self.window_px} px leave gaps on a side of {self.frame_px} px"
            )
        if self.max_face_px is not None and self.max_face_px <= 0:
            raise ValueError(f"max_face_px is {self.max_face_px}, expected a positive number or None")

    @property
    def px_per_frame_px(self) -> float:
        """Return how many pixels of the detector's square one pixel of the window is."""
        return DETECTOR_SIDE_PX / self.frame_px

    @property
    def origins(self) -> NDArray[np.int64]:
        """Return int64 (T, 2): x, y of each window's corner in pixels of the frame, row by row."""
        ends = self.frame_px - self.window_px
        if self.windows_per_side == 1:
            starts = np.array([ends // 2])
        else:
            starts = np.rint(np.linspace(0, ends, self.windows_per_side)).astype(np.int64)
        y, x = np.meshgrid(starts, starts, indexing="ij")
        return np.stack([x.reshape(-1), y.reshape(-1)], axis=1)


def pooling_block(frame_px: int) -> int:
    """Return the side of the largest block that divides the square and leaves at least `frame_px` blocks, or 1."""
    blocks = range(1, max(DETECTOR_SIDE_PX // frame_px, 1) + 1)
    return max(block for block in blocks if DETECTOR_SIDE_PX % block == 0)


def write_frame(builder: GraphBuilder, square: str, frame_px: int) -> str:
    """Scale the detector's square.

    Shrinking averages whole blocks of pixels first and is bilinear for what remains; so little is aliased, and no
    node is one that TensorRT lacks.

    Args:
        builder: The graph.
        square: float32 (N, 3, 640, 640).
        frame_px: The wanted side.

    Returns:
        Name of float32 (N, 3, frame_px, frame_px) in the range of the square.
    """
    block = pooling_block(frame_px)
    pooled = square
    if block > 1:
        pooled = builder.add("AveragePool", square, kernel_shape=[block, block], strides=[block, block])
    if DETECTOR_SIDE_PX // block == frame_px:
        return pooled
    # Rounded up: Resize takes the floor of side times scale, and 640 * float32(1.1) is a hair below 704.
    scale = np.nextafter(np.float32(frame_px * block / DETECTOR_SIDE_PX), np.float32(np.inf))
    scales = builder.constant(np.array([1, 1, scale, scale], np.float32), "scales")
    return str(builder.add("Resize", pooled, "", scales, mode="linear", coordinate_transformation_mode="half_pixel"))


def write_windows(builder: GraphBuilder, square: str, view: View) -> str:
    """Scale the detector's square and cut the windows of a view out of it.

    Args:
        builder: The graph.
        square: float32 (N, 3, 640, 640), 0 to 255.
        view: The view.

    Returns:
        Name of float32 (N * T, 3, window_px, window_px), 0 to 255: the T windows of each photo one after the other,
        in the order of `view.origins`. What lies outside the frame is black.
    """
    frame = write_frame(builder, square, view.frame_px)
    if view.window_px >= view.frame_px:
        return _padded(builder, frame, view)
    windows = []
    for x, y in view.origins.tolist():
        starts, ends = builder.ints(y, x), builder.ints(y + view.window_px, x + view.window_px)
        window = builder.add("Slice", frame, starts, ends, builder.ints(2, 3))
        windows.append(builder.add("Unsqueeze", window, builder.ints(1)))
    stacked = builder.add("Concat", *windows, axis=1)  # (N, T, 3, window, window)
    return str(builder.add("Reshape", stacked, builder.ints(-1, 3, view.window_px, view.window_px)))


def _padded(builder: GraphBuilder, frame: str, view: View) -> str:
    """Return the frame in the middle of a black window."""
    margin = view.window_px - view.frame_px
    if margin == 0:
        return frame
    begin, end = margin - margin // 2, margin // 2
    return str(builder.add("Pad", frame, builder.ints(0, 0, begin, begin, 0, 0, end, end)))
