"""Score a photo with a FaceStats server: tritonclient and NumPy alone.

    pip install 'tritonclient[grpc]' numpy pillow
    python score.py photo.jpg --server localhost:8001

Prints the faces as JSON. The contract: docs/reference/api.md.
"""

import argparse
import io
import json
import sys
import time

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

DEADLINE_S = 30
ATTEMPTS = 6
EXIF_ORIENTATION = 0x0112
WANTED = (
    "image_size",
    "face_count",
    "face_box",
    "face_score",
    "age_years",
    "gender_probability",
    "ethnicity_probability",
)


def orientation_of(photo):
    """Return how the pixels of an encoded photo lie, 1 to 8; the server leaves that to its callers."""
    from PIL import Image

    with Image.open(io.BytesIO(photo)) as image:
        number = image.getexif().get(EXIF_ORIENTATION, 1)
    return number if number in range(1, 9) else 1


def ask(client, photo, outputs, headers):
    """Make one request; a busy server is asked again after pauses that double."""
    image = grpc.InferInput("encoded_image", [1, len(photo)], "UINT8")
    image.set_data_from_numpy(np.frombuffer(photo, np.uint8)[None])
    orientation = grpc.InferInput("orientation", [1, 1], "UINT8")
    orientation.set_data_from_numpy(np.array([[orientation_of(photo)]], np.uint8))
    asked = [grpc.InferRequestedOutput(name) for name in outputs]
    attempt = 0
    while True:
        try:
            return client.infer(
                "facestats", [image, orientation], outputs=asked, headers=headers, client_timeout=DEADLINE_S
            )
        except InferenceServerException as exc:
            attempt += 1
            retryable = "UNAVAILABLE" in str(exc.status()) and "protocol is restricted" not in exc.message()
            if not retryable or attempt == ATTEMPTS:
                raise
            time.sleep(0.125 * 2**attempt)


def labelled(name, rows, labels, thresholds):
    """Return a head's classes and probabilities of each face, `uncertain` below its threshold."""
    for row in rows:
        best = int(row.argmax())
        yield {
            name: labels[name][best] if row[best] >= thresholds.get(name, 0) else "uncertain",
            f"{name}_probability": dict(zip(labels[name], row.tolist())),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo")
    parser.add_argument("--server", default="localhost:8001", help="gRPC address")
    parser.add_argument("--ca", help="certificates in PEM that vouch for the server; TLS is spoken then")
    parser.add_argument("--token-file", help="file with the server's token")
    arguments = parser.parse_args()
    headers = {}
    if arguments.token_file:
        with open(arguments.token_file) as file:
            headers["triton-grpc-protocol-token"] = file.read().strip()
    with open(arguments.photo, "rb") as file:
        photo = file.read()
    client = grpc.InferenceServerClient(arguments.server, ssl=bool(arguments.ca), root_certificates=arguments.ca)
    try:
        config = client.get_model_config("facestats", client_timeout=DEADLINE_S).config
        labels = json.loads(config.parameters["labels"].string_value)
        thresholds = json.loads(config.parameters["thresholds"].string_value)
        served = {output.name for output in config.output}  # a head that is not served has no output
        outputs = [name for name in WANTED if name in served]
        answer = ask(client, photo, outputs, headers)
    except InferenceServerException as exc:
        sys.exit(f"{exc.status()}: {exc.message()}")
    count = int(answer.as_numpy("face_count")[0])  # 0: the one row is a placeholder
    rows = {name: answer.as_numpy(name)[:count] for name in outputs if name not in ("image_size", "face_count")}
    width, height = answer.as_numpy("image_size")[0].tolist()
    faces = [
        {"box": box.tolist(), "score": float(score[0])} for box, score in zip(rows["face_box"], rows["face_score"])
    ]
    for face, age in zip(faces, rows.get("age_years", ())):
        face["age_years"] = float(age[0])
    for name in ("gender", "ethnicity"):
        if f"{name}_probability" in rows:
            for face, found in zip(faces, labelled(name, rows[f"{name}_probability"], labels, thresholds)):
                face.update(found)
    print(json.dumps({"width": width, "height": height, "faces": faces}, indent=1))


if __name__ == "__main__":
    main()
