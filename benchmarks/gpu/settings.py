"""What is measured, and with what."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsclient.backend.server_choice import ServerChoice
from fsclient.photos.photo_file import read_photo
from fsengine.errors import InvalidInputError
from fsengine.photo.convert import decoding_error

SAMPLE_PHOTOS = 32
"""Photos, at most, that decode and the other steps are measured with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Photos for the parts that need no server.

    Attributes:
        paths: The first that decode.
        mean_megapixels: Of one.
        left_out: Files before them that do not decode, each with what is wrong with it.
    """

    paths: tuple[Path, ...]
    mean_megapixels: float
    left_out: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run of the benchmark; it goes to the process of each group.

    Attributes:
        sources: Files, folders and patterns, as they were given.
        samples: Photos of these.
        models: Pack or repository.
        gpu: Number of the GPU, as CUDA counts; None where the CPU stands in for it, to check the command.
        gpu_name: Of that GPU; None without one.
        no_gpu: Why there is none.
        seconds: Least time of one measurement.
        memory_photos: Photos that are sent while memory is watched.
        concurrencies: Photos in flight, a level of `end_to_end` for each.
        server: `host:port` of a server for `memory` and `end_to_end`; None for the embedded one.
        skip: Parts, or words of their names, that are left out.
    """

    sources: tuple[str, ...]
    samples: Samples
    models: str
    gpu: int | None
    gpu_name: str | None
    no_gpu: str | None
    seconds: float
    memory_photos: int
    concurrencies: tuple[int, ...]
    server: str | None
    skip: frozenset[str]

    @property
    def server_choice(self) -> ServerChoice:
        """Return the server that photos are sent to."""
        if self.server is not None:
            return ServerChoice(server=self.server)
        return ServerChoice(models=self.models, gpu=self.gpu is not None)

    def skips(self, part: str) -> bool:
        """Return whether a part is left out."""
        return not self.skip.isdisjoint({part, *part.split("/")})


def choose_samples(paths: Sequence[bytes]) -> Samples:
    """Return the first photos among some files.

    Raises:
        InvalidInputError: None of them decodes.
    """
    chosen: list[Path] = []
    megapixels = 0.0
    left_out: dict[str, str] = {}
    for path in paths:
        photo = read_photo(path)
        if photo.data is None:
            assert photo.refusal is not None
            left_out[photo.file.source] = photo.refusal[1]
        elif photo.gate is None or photo.gate.convert is not None:
            left_out[photo.file.source] = "it would be converted before it is decoded"
        elif refusal := decoding_error(photo.data):
            left_out[photo.file.source] = refusal.reason
        else:
            chosen.append(Path(os.fsdecode(path)))
            megapixels += photo.num_pixels / 1e6
        if len(chosen) == SAMPLE_PHOTOS:
            break
    if not chosen:
        raise InvalidInputError(f"none of {len(paths)} files decodes; expected photos, with faces on some")
    return Samples(paths=tuple(chosen), mean_megapixels=megapixels / len(chosen), left_out=left_out)
