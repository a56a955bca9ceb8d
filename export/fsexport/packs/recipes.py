"""Packs that are made from the table of sources: which source serves which step."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fsengine.contracts.steps import AGE_GENDER, ATTRACTIVENESS, DETECT, EMBED, ETHNICITY, HEADS
from fsengine.errors import InvalidInputError

NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A pack that can be made on request.

    Attributes:
        name: Its name on the command line.
        description: One sentence for people.
        steps: Step to what it is made from: names of sources, paths of files, or the folder of an artifact.
    """

    name: str
    description: str
    steps: Mapping[str, tuple[str, ...]]


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="official",
            description="open_clip ViT-B/32, SCRFD 10G, InsightFace age and gender; fetched on request",
            steps={
                DETECT: ("scrfd-10g",),
                EMBED: ("clip-vit-b32-openai",),
                AGE_GENDER: ("genderage",),
            },
        ),
        Recipe(
            name="facestats-v4",
            description="the encoder and the heads of FaceStats v4, with their own labels; fetched on request",
            steps={
                DETECT: ("scrfd-10g",),
                EMBED: ("clip-vit-b32-openai",),
                ATTRACTIVENESS: ("facestats-v4-attractiveness", "facestats-v4-scores"),
                ETHNICITY: ("facestats-v4-ethnicity",),
                AGE_GENDER: ("facestats-v4-gender",),
            },
        ),
    )
}


def with_choices(recipe: Recipe, choices: Mapping[str, str]) -> Recipe:
    """Return a recipe with other sources for some steps.

    Args:
        recipe: The recipe.
        choices: Step to names or paths with commas between them, or `none` for a head that shall be absent.

    Returns:
        The recipe; changed, it has another name, so that `official` is always the official one.

    Raises:
        InvalidInputError: A step is unknown, or cannot be absent.
    """
    steps = dict(recipe.steps)
    known = (DETECT, EMBED, *HEADS)
    for step, choice in choices.items():
        if step not in known:
            raise InvalidInputError(f"there is no step {step!r} to choose a source for; expected {', '.join(known)}")
        if choice != NONE:
            steps[step] = tuple(choice.split(","))
        elif step in HEADS and step not in steps:
            raise InvalidInputError(f"the {recipe.name} pack has no head {step!r} to leave out")
        elif step in HEADS:
            steps.pop(step)
        else:
            raise InvalidInputError(f"{step} cannot be {NONE}; a pack needs it")
    if steps == recipe.steps:
        return recipe
    made_of = "; ".join(f"{step} from {', '.join(names)}" for step, names in steps.items())
    return replace(
        recipe, name=variant_name(recipe.name, choices), description=f"{recipe.name}, changed: {made_of}", steps=steps
    )


def with_precision(recipe: Recipe, precision: str) -> Recipe:
    """Return a recipe that is built in another precision than fp32, under a name that says so."""
    if precision == "fp32":
        return recipe
    return replace(recipe, name=f"{recipe.name}-{precision}", description=f"{recipe.description}; in {precision}")


def variant_name(name: str, choices: Mapping[str, str]) -> str:
    """Return the name of a changed pack: what was chosen, in letters that suit a folder.

    A folder is named by its last part; a short hash of its path keeps two of the same name apart.
    """
    parts = [name]
    for step, choice in sorted(choices.items()):
        text = choice
        if os.sep in choice:
            path = Path(choice).resolve()
            text = f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"
        parts.append(re.sub(r"[^a-z0-9]+", "-", f"{step}-{text}".lower()))
    return "-".join(parts)[:100]
