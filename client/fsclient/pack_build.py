"""Build packs that are made on request: fetch their sources, export them, put them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fsclient.model_sources import LicenceChoice, fetch_named, known_names
from fsengine.errors import InvalidInputError, MissingDependencyError
from fsengine.registry.home import models_home
from fsengine.registry.source import read_registry
from fsengine.steps import HEADS

Say = Callable[[str], None]

TEST_PACK = "test"
_TEST_SUMMARY = "full-size graphs for tests: SCRFD, seeded CLIP, every head; needs the test assets and torch"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildChoice:
    """How a pack is built.

    Attributes:
        licences: What the user said of licences.
        use: Step to the sources that shall serve it, with commas between them, or `none`.
        precision: Of the encoder.
    """

    licences: LicenceChoice = field(default_factory=LicenceChoice)
    use: Mapping[str, str] = field(default_factory=dict)
    precision: str = "fp32"


def packs_on_request() -> dict[str, str]:
    """Return the packs that are made on request, each with what it is."""
    from fsexport.recipes import RECIPES

    return {**{name: recipe.description for name, recipe in RECIPES.items()}, TEST_PACK: _TEST_SUMMARY}


def built_folder(name: str) -> Path:
    """Return where a pack that is made on request lies, or would lie."""
    return models_home() / "packs" / name


def build_on_request(name: str, choice: BuildChoice, say: Say) -> Path:
    """Build a pack and return its folder; what is here and unchanged is kept.

    A choice that changes the pack gives it another name, so that the name alone is always the pack as declared.

    Args:
        name: One of `packs_on_request`.
        choice: How.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: A licence was not accepted or is refused, or a choice is wrong.
        MissingDependencyError: It needs libraries that are not installed.
        FetchError: A source cannot be fetched.
        ExportError: A model cannot be converted.
    """
    artifacts = models_home() / "artifacts"
    if name == TEST_PACK:
        folder = built_folder(name)
        if choice != BuildChoice():
            raise InvalidInputError("the test pack is made from the test assets alone; it takes no options")
        try:
            from fsexport.test_pack import build_test_pack
        except ImportError as exc:
            raise _missing(name, exc) from exc
        say(f"building the {name} pack in {folder}")
        build_test_pack(folder, artifacts / name, say)
        return folder
    from fsexport.recipes import RECIPES, with_choices, with_precision

    recipe = with_precision(with_choices(RECIPES[name], choice.use), choice.precision)
    folder = built_folder(recipe.name)
    _check_licences(recipe.steps, choice)
    try:
        from fsexport.artifacts.clip import Precision
        from fsexport.recipe_builder import RecipeBuild, build_recipe
    except ImportError as exc:
        raise _missing(name, exc) from exc
    fetch_named(known_names(source for sources in recipe.steps.values() for source in sources), choice.licences, say)
    say(f"building the {recipe.name} pack in {folder}")
    build = RecipeBuild(
        artifacts=artifacts,
        out=folder,
        precision=Precision(choice.precision),
        commercial_ok=choice.licences.commercial_ok,
    )
    build_recipe(recipe, build, say)
    return folder


def source_names(names: Iterable[str]) -> list[str]:
    """Return names of sources, those of packs that are made on request replaced by what they are made from."""
    from fsexport.recipes import RECIPES

    found: list[str] = []
    for name in names:
        if name in RECIPES:
            found += [source for sources in RECIPES[name].steps.values() for source in sources]
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def read_choices(texts: tuple[str, ...]) -> dict[str, str]:
    """Read `STEP=SOURCE` texts.

    Raises:
        InvalidInputError: One has another form, or a step is named twice.
    """
    choices: dict[str, str] = {}
    for text in texts:
        step, equals, source = text.partition("=")
        if not equals or not step or not source:
            raise InvalidInputError(f"--use {text!r}: expected STEP=SOURCE, such as detect=yunet or age_gender=none")
        if step in choices:
            raise InvalidInputError(f"--use names {step} twice; choose one")
        choices[step] = source
    return choices


def _check_licences(steps: Mapping[str, tuple[str, ...]], choice: BuildChoice) -> None:
    """Refuse non-commercial sources before anything is fetched, with what would do instead."""
    if not choice.licences.commercial_ok:
        return
    table = read_registry()
    refused = {
        step: [name for name in names if name in table and not table[name].commercial_use]
        for step, names in steps.items()
    }
    if any(refused.values()):
        named = "; ".join(f"{step} from {', '.join(names)}" for step, names in refused.items() if names)
        options = " ".join(f"--use {step}={_permissive(step)}" for step, names in refused.items() if names)
        raise InvalidInputError(
            f"--commercial-ok refuses {named}: their licences allow no commercial use. For example: {options}"
        )


def _permissive(step: str) -> str:
    """Return what may serve a step commercially: a source of the table, nothing, or an artifact of the user's own."""
    if step in HEADS:
        return "none"
    usable = [s.name for s in read_registry().values() if s.task == step and s.commercial_use and s.member is None]
    return usable[0] if usable else "FOLDER"


def _missing(name: str, exc: ImportError) -> MissingDependencyError:
    return MissingDependencyError(f"building the {name} pack needs {exc.name}: pip install 'facestats[export]'")
