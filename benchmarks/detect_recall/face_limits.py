"""How small, and how far turned, may a face be to be found? And how much memory does a photo in flight take?

    python benchmarks/detect_recall/face_limits.py [--models PACK]

Faces of the photos that ship with the project are cut out, scaled and turned, put on a plain ground and sent to the
embedded server.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fsclient import Client
from fsdata.sample_photos import sample_folder
from fsengine.terminal.tables import Table, show

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import num_cores, processor
from memory_samples import MemorySamples, process_tree_bytes

NAMES = ("astronaut.jpg", "camera.jpg", "gauss.jpg", "hopper.jpg", "obama.jpg")
FACE_PX = (8, 12, 16, 24, 32, 48, 64, 96)
PHOTO_PX = (320, 640, 1280, 2560, 4096)
ANGLES = (0, 30, 45, 60, 90, 180)
TURNED_PX = 100
GROUND = (128, 128, 128)
MARGIN = 2.5
"""Side of what is cut out, in sides of the face's box."""
NEAR = 0.5
"""The most that the middle of a box may lie beside the face's, in sides of the face."""
MEMORY_MEGAPIXELS = (12, 48)
IN_FLIGHT = (1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A face that was cut out.

    Attributes:
        image: A square of `MARGIN` times the face's box, the face in its middle.
        side: Of the box in pixels.
    """

    image: Image.Image
    side: float


def cut_faces(client: Client) -> list[Cut]:
    cuts = []
    for name in NAMES:
        path = sample_folder() / name
        box = client.score(path).faces[0].box
        side = max(box.x1 - box.x0, box.y1 - box.y0)
        x, y, reach = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, side * MARGIN / 2
        with Image.open(path) as photo:
            ground = Image.new("RGB", (round(2 * reach), round(2 * reach)), GROUND)
            ground.paste(photo.convert("RGB"), (round(reach - x), round(reach - y)))
        cuts.append(Cut(image=ground, side=side))
    return cuts


def placed(
    cut: Cut, face_px: float, photo_px: int, at: tuple[float, float], angle: float = 0.0
) -> tuple[bytes, float, float]:
    """Return a photo with one face as JPEG, and the middle of the face."""
    side = max(1, round(cut.image.width * face_px / cut.side))
    face = cut.image.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    if angle:
        face = face.rotate(angle, Image.Resampling.BICUBIC, fillcolor=GROUND)
    ground = Image.new("RGB", (photo_px, photo_px), GROUND)
    x, y = (round(share * max(photo_px - side, 0)) + min(photo_px - side, 0) // 2 for share in at)
    ground.paste(face, (x, y))
    buffer = io.BytesIO()
    ground.save(buffer, "JPEG", quality=95)
    return buffer.getvalue(), x + side / 2, y + side / 2


def share_found(client: Client, photos: Iterable[tuple[bytes, float, float]], face_px: float) -> float:
    given = list(photos)
    found = 0
    for (_, x, y), photo in zip(given, client.score_many([data for data, _, _ in given]), strict=True):
        found += any(
            max(abs((f.box.x0 + f.box.x1) / 2 - x), abs((f.box.y0 + f.box.y1) / 2 - y)) < NEAR * face_px
            for f in photo.faces
        )
    return found / len(given)


def smallest_faces(client: Client, cuts: Sequence[Cut]) -> Table:
    """Return for each size of photo the smallest face from which on half, and all, of the faces are found."""
    rows = []
    for photo_px in PHOTO_PX:
        shares = {
            px: share_found(
                client, [placed(cut, px, photo_px, at) for cut in cuts for at in ((0.3, 0.3), (0.8, 0.6))], px
            )
            for px in FACE_PX
            if px <= photo_px
        }
        rows.append([f"{photo_px} x {photo_px}", *(smallest(shares, least) for least in (0.5, 1.0))])
        print(photo_px, " ".join(f"{px}:{share:.1f}" for px, share in shares.items()), flush=True)
    return Table(header=["photo px", "half found from px", "all found from px"], rows=rows, align="lrr")


def smallest(shares: dict[int, float], least: float) -> str:
    """Return the smallest side from which on at least that share is found."""
    good = [px for px in shares if all(share >= least for other, share in shares.items() if other >= px)]
    return str(good[0]) if good else "-"


def turned_faces(client: Client, cuts: Sequence[Cut]) -> Table:
    rows = []
    for angle in ANGLES:
        turns = {angle, -angle} if angle not in (0, 180) else {angle}
        photos = [placed(cut, TURNED_PX, 640, (0.5, 0.5), turn) for cut in cuts for turn in turns]
        rows.append([str(angle), f"{share_found(client, photos, TURNED_PX):.0%}"])
    return Table(header=["degrees either way", "found"], rows=rows, align="rr")


def memory(client: Client, cut: Cut) -> Table:
    """Return the most memory of client and server with one and several photos in flight."""
    rows = []
    for megapixels in MEMORY_MEGAPIXELS:
        data = placed(cut, 400, round((megapixels * 1e6) ** 0.5), (0.5, 0.5))[0]
        most = []
        for in_flight in IN_FLIGHT:
            with MemorySamples(process_tree_bytes, every_s=0.05) as samples:
                list(client.score_many([data] * (2 * in_flight), concurrency=in_flight))
            most.append(max(samples.readings))
        each = (most[1] - most[0]) / (IN_FLIGHT[1] - IN_FLIGHT[0])
        rows.append(
            [str(megapixels), *(f"{size / 1e6:.0f}" for size in (*most, each)), f"{each / megapixels / 1e6:.1f}"]
        )
    header = ["megapixels", *(f"MB with {n} in flight" for n in IN_FLIGHT), "MB for each more", "bytes per pixel"]
    return Table(header=header, rows=rows, align="rrrrr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="lite")
    arguments = parser.parse_args()
    print("machine", processor(), f"{num_cores()} cores")
    with Client.embedded(arguments.models, on_message=print) as client:
        cuts = cut_faces(client)
        show([turned_faces(client, cuts), ""])
        show([memory(client, cuts[0]), ""])
        show([smallest_faces(client, cuts)])


if __name__ == "__main__":
    main()
