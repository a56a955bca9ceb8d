"""Build packs that are made on request: fetch their sources, export them, put them together.

The one module of the client that imports the exporter, and only inside functions: the rest of the client works
without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fsclient.models.fetching import LicenceChoice, fetch_named, known_names
from fsengine.contracts.steps import HEADS
from fsengine.errors import InvalidInputError, MissingDependencyError
from fsengine.packs.pack import PACK_NAME, PACK_NAME_RULE
from fsengine.packs.shipped import RETIRED_PACKS, SHIPPED_PACK
from fsengine.registry.home import models_home
from fsengine.registry.model_source import read_registry
from fsengine.terminal.messages import Say


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildChoice:
    """How a pack is built.

    Attributes:
        licences: What the user said of licences.
        use: Step to the sources that shall serve it, with commas between them, or `none`.
        precision: Of the encoder, and by it of the detector (docs/guides/models.md).
        name: Of a changed pack; None makes one of the changes.
    """

    licences: LicenceChoice = field(default_factory=LicenceChoice)
    use: Mapping[str, str] = field(default_factory=dict)
    precision: str = "fp32"
    name: str | None = None

    @property
    def is_change(self) -> bool:
        """Return whether it changes a pack."""
        return bool(self.use) or self.precision != "fp32"


def packs_on_request() -> dict[str, str]:
    """Return the packs that are made on request, each with what it is."""
    from fsexport.packs.recipes import RECIPES

    return {name: recipe.description for name, recipe in RECIPES.items()}


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
    from fsexport.packs.recipes import RECIPES, with_choices, with_precision

    recipe = with_precision(with_choices(RECIPES[name], choice.use), choice.precision)
    recipe = replace(recipe, name=_own_name(choice) or recipe.name)
    folder = built_folder(recipe.name)
    _check_licences(recipe.steps, choice)
    try:
        from fsexport.artifact.precision import Precision
        from fsexport.packs.recipe_builder import RecipeBuild, build_recipe
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
    from fsexport.packs.recipes import RECIPES

    found: list[str] = []
    for name in names:
        if name in RECIPES:
            found += [source for sources in RECIPES[name].steps.values() for source in sources]
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def changed_pack(base: Path, name: str, choice: BuildChoice, say: Say) -> Path:
    """Make a pack of another one that is here, with other heads, and return its folder; `base` where nothing changes.

    Args:
        base: Folder of the pack.
        name: Its name.
        choice: Heads to folders of artifacts, or `none`.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: A choice is no head's artifact, or asks for another precision.
        MissingDependencyError: The exporter's libraries are not installed.
        PackError: A head does not fit the pack's encoder.
    """
    from fsexport.packs.recipes import NONE, variant_name

    own_name = _own_name(choice)
    if not choice.is_change:
        return base
    if choice.precision != BuildChoice().precision:
        raise InvalidInputError(f"{name} is not made on request, so its models stay as they are; leave --precision out")
    try:
        from fsexport.packs.pack_builder import change_heads
    except ImportError as exc:
        raise _missing(name, exc) from exc
    changes = {head: None if value == NONE else Path(value) for head, value in choice.use.items()}
    variant = own_name or variant_name(name, choice.use)
    folder = built_folder(variant)
    say(f"building the {variant} pack in {folder}")
    made_of = "; ".join(f"{head} from {value}" for head, value in choice.use.items())
    change_heads(base, changes, variant, f"{name}, changed: {made_of}", folder)
    return folder


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


def _own_name(choice: BuildChoice) -> str | None:
    """Return the name that the user gave a changed pack.

    Raises:
        InvalidInputError: It is no name, or that of a pack that is made on request or ships, or nothing is changed.
    """
    if choice.name is None:
        return None
    if not PACK_NAME.fullmatch(choice.name):
        raise InvalidInputError(f"--name {choice.name!r}: expected {PACK_NAME_RULE}")
    if choice.name in {*packs_on_request(), SHIPPED_PACK, *RETIRED_PACKS}:
        raise InvalidInputError(f"--name {choice.name} is that of another pack; choose one of your own")
    if not choice.is_change:
        raise InvalidInputError(f"--name {choice.name} names a changed pack, and nothing is changed (--use)")
    return choice.name


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
