"""Which encoder a user means: a source of the table, a file with what must be said of it, or open_clip's own name."""

from __future__ import annotations

from pathlib import Path

from fsengine.errors import InvalidInputError
from fsexport.artifact.exported import Origin, file_hashes
from fsexport.artifact.origins import StatedLicence, resolve
from fsexport.embed.open_clip_loader import Activation, ClipSource, architecture_activation, fetch_tag


def clip_given(
    name: str, architecture: str | None, activation: str | None, stated: StatedLicence
) -> tuple[Origin, ClipSource]:
    """Find an encoder's weights, with the architecture and the activation that go with them.

    Args:
        name: A source of the table, a file, or `ARCHITECTURE/TAG`.
        architecture: What the user says of it.
        activation: The same.
        stated: Licence of weights that the table does not know.

    Raises:
        InvalidInputError: There are no such weights, or what is said of them is missing or does not match.
        ExportError: open_clip cannot fetch them, or has no such architecture.
    """
    if "/" in name and not Path(name).expanduser().exists() and len(name.split("/")) == 2:
        return _by_tag(name, stated)
    given = resolve([name], stated)
    known = given.settings.get("architecture")
    trained_with = Activation(activation) if activation else None
    if known is not None:
        # The table's architecture has the right activation; another one must have the same.
        trained_with = trained_with or architecture_activation(str(known))
        if trained_with is not architecture_activation(str(known)):
            raise InvalidInputError(
                f"{name} was trained with {architecture_activation(str(known)).value}, and --activation says "
                f"{trained_with.value}; leave it out"
            )
    chosen = architecture or known
    if chosen is None:
        raise InvalidInputError(
            f"{name} is in no table; say what it is: --architecture (open_clip's name, such as ViT-B-32) and "
            "--activation"
        )
    source = ClipSource(
        architecture=str(chosen), checkpoint=given.files[0], activation=trained_with, archive=given.known
    )
    return given.origin, source


def _by_tag(name: str, stated: StatedLicence) -> tuple[Origin, ClipSource]:
    architecture, tag = name.split("/")
    source = fetch_tag(architecture, tag)
    assert source.checkpoint is not None
    origin = Origin(
        source=f"open_clip {name}",
        licence=stated.text,
        commercial_use=stated.commercial_use,
        sources=file_hashes(source.checkpoint),
    )
    return origin, source
