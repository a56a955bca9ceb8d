"""Decode one encoded photo per sample, upright by a number: the photo itself and the detector's view of it.

Imported by nvidia-dali alone: Triton's DALI backend runs this file with nothing else of the project on the
path, so the first three constants repeat `fsengine.contracts.preprocessing`; a test compares them.
"""

from nvidia.dali import fn, math, pipeline_def, types
from nvidia.dali.plugin.triton import autoserialize

DETECTOR_SIDE_PX = 640
MAX_SIDE_PX = 2048
LEAST_SIDE_PX = 32
DECODE_DEVICE = "cpu"  # "mixed" in the GPU rendering of this file

# nvJPEG's own upsampling of colour differs from libjpeg-turbo's, which the CPU uses.
DECODER_OPTIONS = {} if DECODE_DEVICE == "cpu" else {"jpeg_fancy_upsampling": True}


@autoserialize
@pipeline_def(batch_size=16, num_threads=1, device_id=None if DECODE_DEVICE == "cpu" else 0, enable_conditionals=True)
def decode():
    """Return what `fsengine.contracts.steps.decode_spec` states, image_size and its copy last."""
    encoded = fn.external_source(name="encoded_image", dtype=types.UINT8, ndim=1, device="cpu")
    number = fn.external_source(name="orientation", dtype=types.UINT8, ndim=1, device="cpu")
    # DALI has two readers of Exif, and writes past its buffers where they disagree: neither is asked.
    stored = fn.decoders.image(
        encoded, device=DECODE_DEVICE, output_type=types.RGB, adjust_orientation=False, **DECODER_OPTIONS
    )
    # Sizes come from the header: those of decoded photos would have to come back from the GPU.
    size = fn.peek_image_shape(encoded, dtype=types.FLOAT, adjust_orientation=False)
    stored_hw = fn.slice(size, start=[0], shape=[2], axes=[0])
    longest = fn.reductions.max(stored_hw)
    image = stored
    if longest > MAX_SIDE_PX:  # a resize to a photo's own size would read and write all of it
        image = fn.resize(
            stored,
            size=[MAX_SIDE_PX, MAX_SIDE_PX],
            mode="not_larger",
            interp_type=types.INTERP_LINEAR,
            antialias=True,
        )
    fitted = fn.resize(
        stored,
        size=[DETECTOR_SIDE_PX, DETECTOR_SIDE_PX],
        mode="not_larger",
        interp_type=types.INTERP_LINEAR,
        antialias=True,
    )
    # Exif's numbers; any other than 1 to 8 counts as 1. Turned after shrinking: the fewest pixels move.
    orientation = fn.reshape(number, shape=[])
    full_hw = stored_hw
    if (orientation > 4) & (orientation < 9):
        # Else the layouts of turned and other photos would differ.
        image = fn.transpose(image, perm=[1, 0, 2], transpose_layout=False)
        fitted = fn.transpose(fitted, perm=[1, 0, 2], transpose_layout=False)
        full_hw = fn.stack(stored_hw[1], stored_hw[0])
    if (orientation == 2) | (orientation == 3) | (orientation == 6) | (orientation == 7):
        image = fn.flip(image, horizontal=1, vertical=0)
        fitted = fn.flip(fitted, horizontal=1, vertical=0)
    if (orientation == 3) | (orientation == 4) | (orientation == 7) | (orientation == 8):
        image = fn.flip(image, horizontal=0, vertical=1)
        fitted = fn.flip(fitted, horizontal=0, vertical=1)
    if fn.reductions.min(stored_hw) * math.min(MAX_SIDE_PX / longest, 1.0) < LEAST_SIDE_PX:
        image = fn.pad(image, axes=[0, 1], shape=[LEAST_SIDE_PX, LEAST_SIDE_PX])  # zeros right and bottom
    # Top left, zero padding; a strip thinner than a detector pixel keeps one row.
    detector_input = fn.crop(
        fitted,
        crop=(DETECTOR_SIDE_PX, DETECTOR_SIDE_PX),
        crop_pos_x=0.0,
        crop_pos_y=0.0,
        out_of_bounds_policy="pad",
        fill_values=0,
    )
    # As "not_larger" rounds. (height, width) -> (x, y)
    fitted_hw = math.max(math.floor(full_hw * (DETECTOR_SIDE_PX / longest) + 0.5), 1.0)
    detector_scale = fn.stack(fitted_hw[1] / full_hw[1], fitted_hw[0] / full_hw[0])
    image_size = fn.cast(fn.stack(full_hw[1], full_hw[0]), dtype=types.INT32)
    return image, detector_input, detector_scale, image_size, image_size + 0
