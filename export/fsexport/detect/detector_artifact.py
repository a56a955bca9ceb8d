"""Detectors as the detect step, each family compared with its own network on real photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import DETECT, DETECTOR_INPUT, detect_spec
from fsengine.errors import InvalidInputError
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.onnx_file import run_graph
from fsexport.artifact.parity import Parity, compare
from fsexport.artifact.precision import Precision
from fsexport.detect.blazeface import (
    FULL_RANGE_LAYERS,
    FULL_RANGE_PX,
    SHORT_RANGE_LAYERS,
    SHORT_RANGE_PX,
    BlazeFaceSettings,
    export_blazeface,
)
from fsexport.detect.centerface import OUTPUTS as CENTERFACE_OUTPUTS
from fsexport.detect.centerface import CenterFaceSettings, export_centerface, is_centerface
from fsexport.detect.detect_numpy import (
    WindowDetector,
    centerface_input,
    decode_blazeface,
    decode_centerface,
    decode_scrfd,
    decode_yunet,
    merge_candidates,
    scrfd_input,
    view_candidates,
    yunet_input,
)
from fsexport.detect.merge import MergeSettings
from fsexport.detect.scrfd import ScrfdSettings, export_scrfd
from fsexport.detect.views import View
from fsexport.detect.yunet import KINDS, STRIDES, YuNetSettings, export_yunet
from fsexport.graphs.graph_splice import network_inputs, read_network
from fsexport.inputs.decoded_photos import detector_squares, photo_digest
from fsexport.sources.mediapipe_wheel import (
    FACE_DETECTION_FULL_RANGE,
    FACE_DETECTION_SHORT_RANGE,
    WheelModel,
    read_wheel_model,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a graph's faces may lie from those of its source's own network in fp32.

    Attributes:
        position_px: Of boxes and landmarks, in pixels of the detector's square.
        score: Of the score; one so near to a threshold, or to another candidate's for the same face, decides nothing.
    """

    position_px: float
    score: float


# fp32: the same network, on views that were scaled by other code. fp16 keeps 11 bits.
LIMITS = {Precision.FP32: Limits(0.05, 1e-3), Precision.FP16: Limits(1.0, 0.01)}


class Family(str, Enum):
    """Which network a detector's file holds."""

    SCRFD = "scrfd"
    YUNET = "yunet"
    CENTERFACE = "centerface"
    BLAZEFACE = "blazeface"


ReferenceViews = Sequence[tuple[View, WindowDetector]]
"""Views of a detector, each with the source's own network."""

Settings = ScrfdSettings | YuNetSettings | CenterFaceSettings | BlazeFaceSettings


def detector_family(sources: Sequence[Path]) -> Family:
    """Return which family of detectors some files hold.

    Raises:
        InvalidInputError: It is none that is known.
    """
    if all(path.suffix in (".tflite", ".whl") for path in sources):
        wanted = {model.member.rsplit("/", 1)[-1] for model in (FACE_DETECTION_SHORT_RANGE, FACE_DETECTION_FULL_RANGE)}
        if sources[0].suffix == ".tflite" and wanted - {path.name for path in sources}:
            raise InvalidInputError(
                f"BlazeFace is two files, and {', '.join(path.name for path in sources)} was given; expected "
                f"{' and '.join(sorted(wanted))} (the sources blazeface-short and blazeface-full), or mediapipe's wheel"
            )
        return Family.BLAZEFACE
    network = read_network(sources[0]) if len(sources) == 1 else None
    outputs = [output.name for output in network.graph.output] if network is not None else []
    if network is not None and is_centerface(network):
        return Family.CENTERFACE
    if f"{KINDS[0]}_{STRIDES[0]}" in outputs:
        return Family.YUNET
    if len(outputs) == 3 * len(STRIDES):
        return Family.SCRFD
    raise InvalidInputError(
        f"{', '.join(path.name for path in sources)} has outputs {outputs}; expected one ONNX file of SCRFD (nine "
        "outputs), YuNet (cls_8 to kps_32) or CenterFace (537 to 540), or BlazeFace as mediapipe's wheel or its two "
        ".tflite files"
    )


def settings_for(sources: Sequence[Path], max_faces: int) -> Settings:
    """Return what a detector looks at and keeps, at most `max_faces` of a photo.

    Raises:
        InvalidInputError: The family is not known, or the number is out of range.
    """
    settings: Settings
    match detector_family(sources):
        case Family.SCRFD:
            settings = ScrfdSettings()
        case Family.YUNET:
            settings = YuNetSettings()
        case Family.CENTERFACE:
            settings = CenterFaceSettings()
        case Family.BLAZEFACE:
            settings = BlazeFaceSettings()
    try:
        return replace(settings, merge=replace(settings.merge, max_faces=max_faces))
    except ValueError as exc:
        raise InvalidInputError(str(exc)) from exc


def detector_precision(settings: Settings, pack: Precision) -> Precision:
    """Return what the detector of a pack computes in: fp16 where the encoder holds fp16 and the family can, or fp32."""
    can = isinstance(settings, ScrfdSettings | CenterFaceSettings)
    return Precision.FP16 if can and pack.half else Precision.FP32


def export_detector_artifact(
    sources: Sequence[Path],
    origin: Origin,
    settings: Settings,
    photos: Sequence[Path],
    folder: Path,
    say: Callable[[str], None],
    *,
    precision: Precision = Precision.FP32,
) -> Exported:
    """Export a detector.

    Args:
        sources: Its file; for BlazeFace the wheel of mediapipe, or the short and the full range file.
        origin: Where it comes from.
        settings: Its family, by their class, and what it looks at and keeps.
        photos: Real photos to compare on.
        folder: Where the artifact shall lie.
        say: Called with each line for people.
        precision: fp32; or fp16, for SCRFD and CenterFace: the network alone, between decoding and suppression in fp32.

    Raises:
        InvalidInputError: No photo decodes, or the family has no such precision.
        ExportError: The file has another layout, or the export differs from it.
    """
    half = precision is Precision.FP16
    if precision is not detector_precision(settings, precision):
        raise InvalidInputError(
            f"{origin.source} cannot be exported in {precision.value}: expected fp32, or fp16 for SCRFD and CenterFace"
        )
    job = ExportJob(
        step=DETECT,
        origin=origin,
        precision=precision.value,
        options={**asdict(settings), "photos": photo_digest(photos)},
        libraries=("onnx", "onnxruntime", *(["ai-edge-litert"] if isinstance(settings, BlazeFaceSettings) else [])),
    )

    def make(path: Path) -> ExportResult:
        match settings:
            case ScrfdSettings():
                export_scrfd(sources[0], path, settings, half=half)
            case YuNetSettings():
                export_yunet(sources[0], path, settings)
            case CenterFaceSettings():
                export_centerface(sources[0], path, settings, half=half)
            case BlazeFaceSettings():
                export_blazeface(sources, path, settings)
        squares = detector_squares(photos)
        exact, loose = (_reference_views(settings, sources, near) for near in (0.0, LIMITS[precision].score))
        parity = _compare(path, squares, exact, loose, settings.merge, precision)
        return ExportResult(spec=detect_spec(settings.merge.max_faces), parity=parity)

    return export_artifact(job, folder, make, say)


def _reference_views(settings: Settings, sources: Sequence[Path], near: float) -> ReferenceViews:
    """Return each view with the source's own network behind it; for `near` see `decode_centerface`."""
    match settings:
        case ScrfdSettings():
            return [(view, _scrfd(_free_network(sources[0]))) for view in settings.views]
        case YuNetSettings():
            return [(view, _yunet(_free_network(sources[0]))) for view in settings.views]
        case CenterFaceSettings():
            return [(view, _centerface(_free_network(sources[0]), near)) for view in settings.views]
        case BlazeFaceSettings():
            short = _blazeface(sources, FACE_DETECTION_SHORT_RANGE, SHORT_RANGE_PX, SHORT_RANGE_LAYERS)
            full = _blazeface(sources, FACE_DETECTION_FULL_RANGE, FULL_RANGE_PX, FULL_RANGE_LAYERS)
            return [(settings.short_range, short), *((view, full) for view in settings.full_range)]


def _free_network(path: Path) -> Any:
    """Return a session of a source's network for windows of any size."""
    import onnxruntime as ort

    network = read_network(path)
    (photo,) = network_inputs(network)
    for axis in (0, 2, 3):
        photo.type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}"
    del network.graph.input[:]
    network.graph.input.append(photo)  # without the weights, which old exporters list beside it
    del network.graph.value_info[:]
    for output in network.graph.output:
        for axis, dimension in enumerate(output.type.tensor_type.shape.dim):
            dimension.dim_param = f"{output.name}_{axis}"
    return ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])


def _scrfd(session: Any) -> WindowDetector:
    name = session.get_inputs()[0].name
    return lambda window: decode_scrfd(session.run(None, {name: scrfd_input(window)}), window.shape[0])


def _yunet(session: Any) -> WindowDetector:
    name = session.get_inputs()[0].name
    wanted = [f"{kind}_{stride}" for kind in KINDS for stride in STRIDES]
    return lambda window: decode_yunet(session.run(wanted, {name: yunet_input(window)}), window.shape[0])


def _centerface(session: Any, near: float) -> WindowDetector:
    name = session.get_inputs()[0].name
    wanted = list(CENTERFACE_OUTPUTS)
    return lambda window: decode_centerface(session.run(wanted, {name: centerface_input(window)}), near)


def _blazeface(
    sources: Sequence[Path], model: WheelModel, side_px: int, layers: tuple[tuple[int, int], ...]
) -> WindowDetector:
    from ai_edge_litert.interpreter import Interpreter  # runs the source's own files

    interpreter = Interpreter(model_content=read_wheel_model(sources, model), num_threads=1)
    interpreter.allocate_tensors()
    outputs = interpreter.get_output_details()

    def detect(window: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], window[None] / 127.5 - 1.0)
        interpreter.invoke()
        by_width = {output["shape"][-1]: interpreter.get_tensor(output["index"])[0] for output in outputs}
        return decode_blazeface(by_width[16], by_width[1], side_px, layers)

    return detect


def _compare(
    path: Path,
    squares: NDArray[np.uint8],
    exact: ReferenceViews,
    loose: ReferenceViews,
    merge: MergeSettings,
    precision: Precision,
) -> tuple[Parity, ...]:
    """Compare the graph's faces with the reference's, photo by photo.

    A face whose score is within its limit of a threshold may be found by one of the two alone; it is left out. Of
    candidates for the same face whose scores are that near, each of the two may take another; where the reference's
    own is too far, the nearest of `loose` counts, which has them all.
    """
    limits = LIMITS[precision]
    outputs = run_graph(path, {DETECTOR_INPUT.name: squares}, rows=4, half=precision.half)
    thresholds = np.array([view.score_threshold for view, _ in exact])
    found_rows, expected_rows = [], []
    for index, square in enumerate(squares):
        score = outputs["detected_score"][index]
        count = int((score > 0).sum())
        landmarks = outputs["detected_landmarks"][index].reshape(-1, 10)
        found = np.concatenate([outputs["detected_box"][index], landmarks, score[:, None]], axis=1)[:count]
        expected, _ = merge_candidates([view_candidates(square, view, detector) for view, detector in exact], merge)
        found, expected = (_clear(rows, thresholds, limits.score) for rows in (found, expected))
        if len(found) == len(expected):
            found = _in_order_of(expected, found)
            if (np.abs(found - expected)[:, :14] > limits.position_px).any():
                candidates = np.concatenate([view_candidates(square, view, detector) for view, detector in loose])
                expected = _nearest_as_good(found, expected, candidates, limits.score)
        found_rows.append(found)
        expected_rows.append(expected)
    if not any(len(rows) for rows in (*found_rows, *expected_rows)):
        raise InvalidInputError(f"no face is found on {len(squares)} photos; give others with --photos")
    found_all, expected_all = np.concatenate(found_rows), np.concatenate(expected_rows)
    inputs = f"{len(expected_all)} faces of {len(squares)} photos"
    reference = "the source's own network, decoded in NumPy"
    return (
        compare(
            found_all[:, :14],
            expected_all[:, :14],
            quantity="boxes and landmarks, px of 640",
            reference=reference,
            inputs=inputs,
            limit=limits.position_px,
        ),
        compare(
            found_all[:, 14],
            expected_all[:, 14],
            quantity="score",
            reference=reference,
            inputs=inputs,
            limit=limits.score,
        ),
    )


def _clear(rows: NDArray[np.float32], thresholds: NDArray[np.float64], margin: float) -> NDArray[np.float32]:
    """Return the rows whose score is clear of every threshold."""
    near = np.abs(rows[:, 14:] - thresholds) < margin
    clear: NDArray[np.float32] = rows[~near.any(axis=1)]
    return clear


def _in_order_of(expected: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return found rows in the order of the expected ones: equal scores may come in any order."""
    left = list(range(len(found)))
    order = []
    for row in expected:
        nearest = min(left, key=lambda index: float(np.abs(found[index, :4] - row[:4]).sum()))
        left.remove(nearest)
        order.append(nearest)
    return found[order]


def _nearest_as_good(
    found: NDArray[np.float32], expected: NDArray[np.float32], candidates: NDArray[np.float32], margin: float
) -> NDArray[np.float32]:
    """Return of each expected face the candidate nearest to the found one, of those for it that score as well.

    Args:
        found: float32 (F, 15).
        expected: float32 (F, 15) of the same faces.
        candidates: float32 (C, 15), before their suppression.
        margin: Scores that differ by less are as good.
    """
    rows = []
    for face, row in zip(found, expected, strict=True):
        centres = (candidates[:, :2] + candidates[:, 2:4]) / 2
        same = (np.abs(candidates[:, 14] - row[14]) < margin) & (row[:2] < centres).all(axis=1)
        same &= (centres < row[2:4]).all(axis=1)
        as_good = np.concatenate([row[None], candidates[same]])
        rows.append(as_good[np.abs(as_good[:, :14] - face[:14]).max(axis=1).argmin()])
    return np.array(rows, np.float32).reshape(-1, 15)
