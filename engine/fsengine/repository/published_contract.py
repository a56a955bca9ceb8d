"""The contract of the served ensembles for programs of other people: tensors, labels, limits, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsengine.contracts import steps
from fsengine.contracts.meanings import MEANINGS
from fsengine.contracts.preprocessing import MAX_PHOTO_FILE_BYTES, MAX_PHOTO_PIXELS, CropKind, CropSpec
from fsengine.contracts.served import CONTRACT, UNCERTAIN
from fsengine.repository.model_config import apply_ensemble

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

_LETTERS = {9973: "D", 9967: "E", 9949: "G", 1021: "S"}
"""Sizes that no pack has, in place of those that packs choose, to the letters that stand for them."""

SIZES = {
    "F": "faces, 1 or more: where face_count is 0, one row that is a placeholder",
    "N": "bytes of the photo",
    "D": "width of the embedding, as the model configuration states it",
    "E": "labels.ethnicity",
    "G": "labels.gender",
    "S": "side of the encoder's crop in pixels, as the model configuration states it",
}

PARAMETERS = {
    "contract": "version of this contract",
    "pack": "name of the model pack",
    "model_set_id": "which models and preprocessing: answers of different sets do not compare",
    "preprocessing_id": "which pixels the models see",
    "encoder_id": "what the embedding means: embeddings of different encoders do not compare",
    "models": "JSON object: step to the id of its model",
    "labels": "JSON object: head to its class labels, in the order of its probabilities",
    "thresholds": f"JSON object: head to the least probability of its likeliest class, below it {UNCERTAIN!r}",
    "marks": "JSON object: what a reader must know of the answers, to the steps that it is about",
    "licences": "JSON object: step to the licence of its model",
}
"""What the `parameters` of the configuration of `facestats` hold, as strings."""


def contract() -> dict[str, Any]:
    """Return the contract as values that `json.dumps` takes.

    Sizes that packs choose are letters, see `sizes`. An output with `optional` is absent where the pack has no such
    head, or it was switched off.
    """
    width, classes, genders, side = _LETTERS
    portrait = CropSpec(kind=CropKind.PORTRAIT, side_px=side)
    specs = [
        steps.decode_spec(),
        steps.detect_spec(steps.FACE_BATCH_LIMIT),
        steps.align_spec(steps.FACE_BATCH_LIMIT, portrait, portrait),
        steps.embed_spec(portrait, width),
        steps.attractiveness_spec(width, with_interval=True),
        steps.ethnicity_spec(width, classes),
        steps.age_gender_spec(steps.age_gender_crop(portrait), genders, with_interval=True),
    ]
    optional = {tensor.name for spec in specs[4:] for tensor in spec.outputs} | {"ethnicity_probability"}
    chains = {
        steps.ENSEMBLE: (specs, steps.ENSEMBLE_OUTPUTS, "a photo to its faces"),
        steps.ENSEMBLE_ISOLATED: (specs, steps.ENSEMBLE_OUTPUTS, "the same, decoded apart from other photos"),
        steps.ENSEMBLE_CROPS: (
            specs[:3],
            steps.CROPS_OUTPUTS,
            "a photo to its faces and their crops",
        ),
    }
    return {
        "contract": CONTRACT,
        "protocol": "KServe v2: inference.GRPCInferenceService (examples/proto), raw tensor contents, little-endian",
        "sizes": SIZES,
        "limits": {
            "photo_bytes": MAX_PHOTO_FILE_BYTES,
            "photo_pixels": MAX_PHOTO_PIXELS,
            "faces_per_photo": steps.FACE_BATCH_LIMIT,
        },
        "parameters": PARAMETERS,
        "models": {
            name: {
                "what": what,
                "inputs": [_tensor(spec.name, spec.dtype.value, (1, *spec.shape)) for spec in specs[0].inputs],
                "outputs": _outputs(chain, outputs, optional),
            }
            for name, (chain, outputs, what) in chains.items()
        },
    }


def _outputs(chain: list[Any], outputs: tuple[str, ...], optional: set[str]) -> list[dict[str, Any]]:
    from tritonclient.grpc import model_config_pb2 as pb

    config = pb.ModelConfig(name="contract")
    apply_ensemble(config, chain, outputs)
    return [_output(tensor, optional) for tensor in config.output]


def _output(tensor: pb.ModelOutput, optional: set[str]) -> dict[str, Any]:
    from tritonclient.grpc import model_config_pb2 as pb

    dtype = pb.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    told = _tensor(tensor.name, dtype, tuple(tensor.dims))
    return told | ({"optional": True} if tensor.name in optional else {})


def _tensor(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return a tensor with letters for the sizes that vary."""
    varying = "N" if name == steps.ENCODED_IMAGE.name else "F"
    meaning = MEANINGS[name]
    return {
        "name": name,
        "dtype": dtype,
        "shape": [varying if size == -1 else _LETTERS.get(size, size) for size in shape],
        "meaning": meaning.text,
        "range": [meaning.low, meaning.high],
    }
