"""Texts as DALI and its Triton backend wrote them; where one is not our own pipeline's, its issue is named."""

from __future__ import annotations

import re

import pytest

from fsengine.backends.dali_errors import cause, decoding_cause, device_trouble
from fsengine.packs.shipped import shipped_folder

NEW = """in ensemble 'facestats_isolated', Runtime error: Critical error in pipeline:
Error in CPU operator `nvidia.dali.fn.{operator}`,
which was used in the pipeline definition with the following traceback:

  File "/models/decode_isolated/1/dali.py", line 25, in decode
    upright = fn.decoders.image(encoded, device=DECODE_DEVICE, output_type=types.RGB, adjust_orientation=True)

encountered:

{words}
Current pipeline object is no longer valid."""
"""DALI 2.4 on our pipeline, with what the backend and the ensemble put before it."""

OLD = """Runtime error: Critical error in pipeline:
Error when executing {operator} encountered:
{words}
Stacktrace (9 entries):
[frame 0]: /opt/tritonserver/backends/dali/dali/libdali.so(+0xbfbfe) [0x7f7945260bfe]
[frame 1]: /opt/tritonserver/backends/dali/dali/libdali.so(dali::CUDAStreamPool::Get(int)+0x34) [0x7f7945264224]

Current pipeline object is no longer valid."""

UNDECODABLE = {
    "cut JPEG": (NEW.format(operator="decoders.image", words="Failed to decode sample #1 : "), "decode sample #1"),
    "no photo": (NEW.format(operator="decoders.image", words="nvImageCodec failure: '#4'"), "failure: '#4'"),
    "cut PNG": (NEW.format(operator="decoders.image", words="nvImageCodec failure: '#17'"), "failure: '#17'"),
    "no photo, on a GPU": (
        NEW.format(operator="peek_image_shape", words="nvImageCodec failure: '#3'"),
        "failure: '#3'",
    ),
    "dali_backend 287, 176": (
        OLD.format(
            operator="Mixed operator decoders__Image",
            words="Error in thread 1: [/opt/dali/dali/operators/decoder/nvjpeg/nvjpeg_decoder_decoupled_api.h:616] "
            "[/opt/dali/dali/image/image_factory.cc:100] Unrecognized image format. Supported formats are: JPEG, PNG, "
            "BMP, TIFF, PNM, JPEG2000 and WebP.",
        ),
        "Unrecognized image format. Supported formats are: JPEG, PNG, BMP, TIFF, PNM, JPEG2000 and WebP.",
    ),
    "dali_backend 78": (
        OLD.format(
            operator="Mixed operator ImageDecoder",
            words="Error in thread 1: [/opt/dali/dali/operators/decoder/nvjpeg/nvjpeg_helper.h:167] "
            '[/opt/dali/dali/image/jpeg_mem.cc:441] Assert on "jpeg_finish_decompress(&cinfo)" failed',
        ),
        'Assert on "jpeg_finish_decompress(&cinfo)" failed',
    ),
    "DALI 5151": (
        OLD.format(
            operator="CPU operator decoders__Image",
            words="Error in thread 0: [/opt/dali/dali/operators/decoder/host/host_decoder.cc:41] "
            "[/opt/dali/dali/image/image_factory.cc:98] GIF images are not supported.",
        ),
        "GIF images are not supported.",
    ),
}

NOT_THE_PHOTO = {
    "DALI 4382": OLD.format(
        operator='Mixed operator decoders__Image, instance name: "__Image_4",',
        words="Error in thread 0: nvml error (999): A nvml internal driver error occurred",
    ),
    "DALI 2836": OLD.format(operator="Mixed operator ImageDecoder", words="CUDA allocation failed"),
    "dali_backend 198": OLD.format(
        operator="Mixed operator decoders__Image",
        words="Error in thread 31: nvJPEG error (5): The user-provided allocator functions, for either memory "
        "allocation or for releasing the memory, returned a non-zero code.",
    ),
    "dali_backend 188": OLD.format(
        operator="GPU operator Resize", words="Can't allocate 4489633333248 bytes on device 0."
    ),
    "a later operator": NEW.format(operator="resize", words="Failed for a reason of its own"),
    "the decoder's device": NEW.format(operator="decoders.image", words="nvImageCodec failure: '#21'"),
    "another step": "in ensemble 'facestats', onnx runtime error 2: not enough space: expected 12, got 0",
    "nothing": "",
}


@pytest.mark.parametrize("name", UNDECODABLE)
def test_the_decoder_s_words_about_a_photo_are_found(name: str) -> None:
    text, words = UNDECODABLE[name]
    found = decoding_cause(text)
    assert found is not None
    assert found.endswith(words)
    assert "Error in thread" not in found
    assert "/opt/dali" not in found


def test_every_operator_of_the_pipeline_that_reads_a_photo_is_known() -> None:
    text = (shipped_folder("model_repository") / "decode" / "1" / "dali.py").read_text()
    operators = re.findall(r"fn\.([\w.]+)\(\s*encoded\b", text)
    assert "decoders.image" in operators
    for operator in operators:
        assert decoding_cause(NEW.format(operator=operator, words="Broken")) == "Broken", operator


@pytest.mark.parametrize("name", NOT_THE_PHOTO)
def test_what_is_not_the_photo_s_fault_is_told_apart(name: str) -> None:
    assert decoding_cause(NOT_THE_PHOTO[name]) is None


def test_a_cause_is_one_short_line_whatever_the_text() -> None:
    assert cause(NOT_THE_PHOTO["dali_backend 188"]) == "Can't allocate 4489633333248 bytes on device 0."
    assert cause("two\nlines") == "two lines"
    assert cause("") == "unknown error"
    assert len(cause("x" * 5000)) == 300


@pytest.mark.parametrize(
    "text",
    [
        "Error in MIXED operator `nvidia.dali.fn.decoders.image`, encountered:\n"
        "CUDA runtime API error cudaErrorMemoryAllocation (2):\nout of memory",
        "Error in CPU operator `nvidia.dali.fn.decoders.image`, encountered:\nCan't allocate 432000000 on device -1",
    ],
)
def test_a_device_that_gave_out_is_no_fault_of_the_photo(text: str) -> None:
    assert device_trouble(text)
    assert decoding_cause(text) is None
