"""Packs that are made from the table of sources: which source serves which step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fsengine.errors import InvalidInputError
from fsengine.steps import AGE_GENDER, ATTRACTIVENESS, DETECT, EMBED, ETHNICITY, HEADS

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
        elif step in HEADS:
            steps.pop(step, None)
        else:
            raise InvalidInputError(f"{step} cannot be {NONE}; a pack needs it")
    return replace(recipe, steps=steps)
