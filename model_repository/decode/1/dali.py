"""Decode one encoded photo per sample: the photo itself and the detector's view of it.

Imported by nvidia-dali alone: Triton's DALI backend runs this file with nothing else of the project on the
path, so the three constants repeat `fsengine.preprocessing`; a test compares them.
"""

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.triton import autoserialize

DETECTOR_SIDE_PX = 640
MAX_SIDE_PX = 2048
DECODE_DEVICE = "cpu"  # "mixed" in the GPU rendering of this file


def _height_width(images):
    """Return float32 (2,): height and width of each image."""
    return fn.cast(fn.slice(images.shape(dtype=types.INT32), start=[0], shape=[2], axes=[0]), dtype=types.FLOAT)


@autoserialize
@pipeline_def(batch_size=16, num_threads=1, device_id=None if DECODE_DEVICE == "cpu" else 0)
def decode():
    """Return image, detector_input, detector_scale and image_size; see `fsengine.steps.decode_spec`."""
    encoded = fn.external_source(name="encoded_image", dtype=types.UINT8, ndim=1, device="cpu")
    upright = fn.decoders.image(encoded, device=DECODE_DEVICE, output_type=types.RGB, adjust_orientation=True)
    full_hw = _height_width(upright)
    longest = fn.reductions.max(full_hw)
    capped_side = (longest > MAX_SIDE_PX) * MAX_SIDE_PX + (longest <= MAX_SIDE_PX) * longest
    image = fn.resize(
        upright,
        size=fn.stack(capped_side, capped_side),
        mode="not_larger",
        interp_type=types.INTERP_LINEAR,
        antialias=True,
    )
    fitted = fn.resize(
        upright,
        size=[DETECTOR_SIDE_PX, DETECTOR_SIDE_PX],
        mode="not_larger",
        interp_type=types.INTERP_LINEAR,
        antialias=True,
    )
    # Top left, zero padding; a strip thinner than a detector pixel keeps one row.
    detector_input = fn.crop(
        fitted,
        crop=(DETECTOR_SIDE_PX, DETECTOR_SIDE_PX),
        crop_pos_x=0.0,
        crop_pos_y=0.0,
        out_of_bounds_policy="pad",
        fill_values=0,
    )
    fitted_hw = _height_width(fitted)
    # (height, width) -> (x, y)
    detector_scale = fn.stack(fitted_hw[1] / full_hw[1], fitted_hw[0] / full_hw[0])
    image_size = fn.cast(fn.stack(full_hw[1], full_hw[0]), dtype=types.INT32)
    return image, detector_input, detector_scale, image_size
