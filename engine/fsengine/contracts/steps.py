"""The steps of the photo ensemble and their contracts.

A step is described by a function of what a pack may choose (faces per photo, crop sides, embedding width,
classes), so that export, `config.pbtxt`, packs, client and tests read the same names and shapes.
"""

from __future__ import annotations

from dataclasses import replace

from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX, CropSpec
from fsengine.contracts.tensors import DYNAMIC, DType, ModelSpec, TensorSpec

ENSEMBLE = "facestats"
DECODE = "decode"
DETECT = "detect"
ALIGN = "align"
EMBED = "embed"
ATTRACTIVENESS = "attractiveness"
ETHNICITY = "ethnicity"
AGE_GENDER = "age_gender"

ENSEMBLE_ISOLATED = "facestats_isolated"
DECODE_ISOLATED = "decode_isolated"
"""The ensemble once more, all steps shared but decode, whose twin takes one photo at a time."""
ENSEMBLE_CROPS = "facestats_crops"
"""The steps up to align: faces with their crops, which would be most of an answer's bytes."""
ENSEMBLES = (ENSEMBLE, ENSEMBLE_ISOLATED, ENSEMBLE_CROPS)

HEADS = (ATTRACTIVENESS, ETHNICITY, AGE_GENDER)
"""Steps that a pack may lack or a user may switch off."""

FACE_BATCH_LIMIT = 256
"""The most faces of one photo, and the most rows of one execution of a step on faces."""

DECODE_BATCH_LIMIT = 16
DETECT_BATCH_LIMIT = 16

LARGE_PHOTO_PIXELS = 25_000_000
"""Photos with more are decoded alone where many are decoded together on a GPU, so that the largest that are read do not
bound the batch of all others."""

DECODE_FAILED = "decode failed"
PHOTO_TOO_LARGE = "too large"
PHOTO_UNSUPPORTED = "unsupported photo"
"""How the decode step's errors begin: for a broken photo, for one with too many pixels, and for what is not read."""

FIL_INPUT = "input__0"
FIL_OUTPUT = "output__0"
"""Triton's FIL backend fixes both names."""

ENCODED_IMAGE = TensorSpec(name="encoded_image", dtype=DType.UINT8, shape=(DYNAMIC,))
ORIENTATION = TensorSpec(name="orientation", dtype=DType.UINT8, shape=(1,))
"""How the stored pixels lie, in Exif's numbers 1 to 8; any other counts as 1, upright. Decoders ask the file itself
nothing of it: `fsengine.photo.gate` reads it there."""
IMAGE = TensorSpec(name="image", dtype=DType.UINT8, shape=(DYNAMIC, DYNAMIC, 3))
"""The upright photo, RGB, at most `MAX_SIDE_PX` a side; where a side is below `LEAST_SIDE_PX`, zeros pad it to that,
right or bottom. How much of it is the photo follows from `image_size`."""
DETECTOR_INPUT = TensorSpec(name="detector_input", dtype=DType.UINT8, shape=(DETECTOR_SIDE_PX, DETECTOR_SIDE_PX, 3))
DETECTOR_SCALE = TensorSpec(name="detector_scale", dtype=DType.FP32, shape=(2,))
"""Detector pixels per pixel of the upright full-size photo, (x, y)."""
IMAGE_SIZE = TensorSpec(name="image_size", dtype=DType.INT32, shape=(2,))
"""(width, height) of the upright full-size photo in pixels."""
FACES_TRUNCATED = TensorSpec(name="faces_truncated", dtype=DType.BOOL, shape=(1,))
"""True where the photo had more faces than the pack's limit and the rest were left out."""
FACE_COUNT = TensorSpec(name="face_count", dtype=DType.INT32, shape=(1,))
"""Faces of the photo; 0 says that the one row of every other output is a placeholder."""

FACE_BOX = TensorSpec(name="face_box", dtype=DType.FP32, shape=(DYNAMIC, 4))
FACE_LANDMARKS = TensorSpec(name="face_landmarks", dtype=DType.FP32, shape=(DYNAMIC, 5, 2))
FACE_SCORE = TensorSpec(name="face_score", dtype=DType.FP32, shape=(DYNAMIC, 1))


def answer_copy(tensor: TensorSpec) -> TensorSpec:
    """Return the second output of a step with a tensor's values: the first is read by steps, this one by callers.

    No output of an ensemble may be the input of a step: Triton prunes the step that makes it where the output is not
    asked for, and those before it where nothing else is (triton-inference-server/server, 7482).
    """
    return replace(tensor, name=f"{tensor.name}_answer")


def face_embedding(width: int) -> TensorSpec:
    """Return the embedding of one face: float32 (width,), L2-normalized."""
    return TensorSpec(name="face_embedding", dtype=DType.FP32, shape=(width,))


def portrait_crop(crop: CropSpec) -> TensorSpec:
    """Return the encoder's view of one face: uint8 (side, side, 3), RGB."""
    return TensorSpec(name="portrait_crop", dtype=DType.UINT8, shape=(crop.side_px, crop.side_px, 3))


def age_gender_crop(crop: CropSpec) -> TensorSpec:
    """Return the age/gender model's view of one face: uint8 (side, side, 3), RGB."""
    return TensorSpec(name="age_gender_crop", dtype=DType.UINT8, shape=(crop.side_px, crop.side_px, 3))


ATTRACTIVENESS_SCORE = TensorSpec(name="attractiveness", dtype=DType.FP32, shape=(1,))
ATTRACTIVENESS_PERCENTILE = TensorSpec(name="attractiveness_percentile", dtype=DType.FP32, shape=(1,))
"""Share of the reference distribution at or below the score, 0 to 100."""
ATTRACTIVENESS_DECILE = TensorSpec(name="attractiveness_decile", dtype=DType.FP32, shape=(1,))
"""1 to 10, a whole number: the tenth of the reference distribution that the score lies in."""
ATTRACTIVENESS_INTERVAL = TensorSpec(name="attractiveness_interval", dtype=DType.FP32, shape=(2,))
"""Low and high end of the score's conformal interval, on the head's own scale."""
AGE_YEARS = TensorSpec(name="age_years", dtype=DType.FP32, shape=(1,))


AGE_INTERVAL = TensorSpec(name="age_interval_years", dtype=DType.FP32, shape=(2,))
"""Low and high end of the age's conformal interval."""

ENSEMBLE_OUTPUTS = (
    "image_size",
    "faces_truncated",
    "face_count",
    "face_box",
    "face_landmarks",
    "face_score",
    "face_embedding",
    "attractiveness",
    "attractiveness_percentile",
    "attractiveness_decile",
    "attractiveness_interval",
    "ethnicity_probability",
    "gender_probability",
    "age_years",
    "age_interval_years",
)
"""What the ensemble gives where some step of a pack makes it, in this order."""

CROPS_OUTPUTS = (
    "image_size",
    "faces_truncated",
    "face_count",
    "face_box",
    "face_landmarks",
    "face_score",
    "aligned_face",
)
"""What the ensemble of crops gives; `aligned_face` is what the encoder sees of each face."""


def gender_probability(num_classes: int) -> TensorSpec:
    """Return probabilities in the order of the pack's gender labels; they sum to 1."""
    return TensorSpec(name="gender_probability", dtype=DType.FP32, shape=(num_classes,))


def ethnicity_probability(num_classes: int) -> TensorSpec:
    """Return probabilities in the order of the pack's ethnicity labels; they sum to 1."""
    return TensorSpec(name="ethnicity_probability", dtype=DType.FP32, shape=(num_classes,))


def decode_spec() -> ModelSpec:
    """Return the contract of the decode step: encoded bytes to pixels."""
    return ModelSpec(
        name=DECODE,
        max_batch_size=DECODE_BATCH_LIMIT,
        inputs=(ENCODED_IMAGE, ORIENTATION),
        outputs=(IMAGE, DETECTOR_INPUT, DETECTOR_SCALE, IMAGE_SIZE, answer_copy(IMAGE_SIZE)),
    )


def decode_isolated_spec() -> ModelSpec:
    """Return the contract of decode's twin, in which no photo shares an execution with another."""
    return replace(decode_spec(), name=DECODE_ISOLATED, max_batch_size=1)


def detected(max_faces: int) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    """Return box, landmarks and score of the detections of one photo, sorted by falling score.

    Box (x0, y0, x1, y1) and landmarks (x, y) are in pixels of `detector_input`. The five landmarks are
    the eye, the eye, the nose tip, the mouth corner, the mouth corner; of each pair the person's right one comes
    first, which lies left on an upright face. Rows without a face are zero, their score included; faces come first.
    """
    return (
        TensorSpec(name="detected_box", dtype=DType.FP32, shape=(max_faces, 4)),
        TensorSpec(name="detected_landmarks", dtype=DType.FP32, shape=(max_faces, 5, 2)),
        TensorSpec(name="detected_score", dtype=DType.FP32, shape=(max_faces,)),
    )


def detect_spec(max_faces: int) -> ModelSpec:
    """Return the contract of the detect step: at most `max_faces` faces of each photo."""
    return ModelSpec(
        name=DETECT,
        max_batch_size=DETECT_BATCH_LIMIT,
        inputs=(DETECTOR_INPUT,),
        outputs=(*detected(max_faces), FACES_TRUNCATED),
    )


def _alone(spec: TensorSpec) -> TensorSpec:
    """Return the tensor of one photo with its batch axis of 1 written out."""
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=(1, *spec.shape))


def _rows(spec: TensorSpec) -> TensorSpec:
    """Return the tensor of the F faces of a photo with the face axis written out."""
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=(DYNAMIC, *spec.shape))


def align_spec(max_faces: int, portrait: CropSpec, age_gender: CropSpec | None) -> ModelSpec:
    """Return the contract of the align step: one photo and its detections to F >= 1 faces.

    A photo without a face gives one placeholder row whose score is 0, because Triton refuses zero rows; `face_count`
    is 0 then.
    """
    crops = [_rows(portrait_crop(portrait))]
    if age_gender is not None:
        crops.append(_rows(age_gender_crop(age_gender)))
    return ModelSpec(
        name=ALIGN,
        max_batch_size=0,
        inputs=tuple(_alone(s) for s in (IMAGE, IMAGE_SIZE, DETECTOR_SCALE, *detected(max_faces))),
        outputs=(FACE_COUNT, FACE_BOX, FACE_LANDMARKS, FACE_SCORE, *crops),
    )


def embed_spec(portrait: CropSpec, width: int) -> ModelSpec:
    """Return the contract of the embed step."""
    return ModelSpec(
        name=EMBED,
        max_batch_size=FACE_BATCH_LIMIT,
        inputs=(portrait_crop(portrait),),
        outputs=(face_embedding(width), answer_copy(face_embedding(width))),
    )


def attractiveness_spec(width: int, *, with_interval: bool = False) -> ModelSpec:
    """Return the contract of the attractiveness head.

    Args:
        width: D, of the embedding.
        with_interval: Whether the head gives a conformal interval.
    """
    outputs = (ATTRACTIVENESS_SCORE, ATTRACTIVENESS_PERCENTILE, ATTRACTIVENESS_DECILE)
    return ModelSpec(
        name=ATTRACTIVENESS,
        max_batch_size=FACE_BATCH_LIMIT,
        inputs=(face_embedding(width),),
        outputs=(*outputs, ATTRACTIVENESS_INTERVAL) if with_interval else outputs,
    )


def ethnicity_spec(width: int, num_classes: int, *, forest: bool = True) -> ModelSpec:
    """Return the contract of the ethnicity head.

    Args:
        width: D, of the embedding.
        num_classes: Classes.
        forest: A forest is served by the FIL backend, which fixes its tensors' names; any other model is a graph.
    """
    if forest:
        features = TensorSpec(name=FIL_INPUT, dtype=DType.FP32, shape=(width,))
        probability = TensorSpec(name=FIL_OUTPUT, dtype=DType.FP32, shape=(num_classes,))
    else:
        features, probability = face_embedding(width), ethnicity_probability(num_classes)
    return ModelSpec(name=ETHNICITY, max_batch_size=FACE_BATCH_LIMIT, inputs=(features,), outputs=(probability,))


def age_gender_spec(
    source: TensorSpec, num_genders: int = 2, *, with_age: bool = True, with_interval: bool = False
) -> ModelSpec:
    """Return the contract of the age/gender head, which reads a crop or the embedding.

    Args:
        source: `age_gender_crop(...)` or `face_embedding(...)`.
        num_genders: Classes of the gender.
        with_age: Whether the model gives an age.
        with_interval: Whether it gives the age's conformal interval too.
    """
    outputs: tuple[TensorSpec, ...] = (gender_probability(num_genders),)
    outputs += ((AGE_YEARS, AGE_INTERVAL) if with_interval else (AGE_YEARS,)) if with_age else ()
    return ModelSpec(name=AGE_GENDER, max_batch_size=FACE_BATCH_LIMIT, inputs=(source,), outputs=outputs)
