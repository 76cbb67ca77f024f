"""What a stage starts from where nothing was trained or downloaded: a new model, with the words of the world
that it is made for."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mmrc_helpers.models import load, scratch
from mmrc_helpers.store import folders
from mmrc_helpers.store.pictures import Shards


def is_new(recipe: Mapping) -> bool:
    """Whether a stage starts from a model that is made here: the first phase, or the questions to the
    untrained."""
    return recipe["params"]["model"]["source"] == "scratch" and "model" not in recipe["inputs"]


def processor_of(folder: Path, recipe: Mapping, sentences: Callable[[Path], Iterable[str]]):
    """The processor of the model that a stage starts from; for a new model one that holds the words of
    `sentences` of the data folder."""
    if not is_new(recipe):
        return load.load_processor(load.starting_point(folder, recipe)[0], recipe["params"]["model"])
    sizes = recipe["params"]["model"]["scratch"]
    make = scratch.scratch_tokenizer if sizes["kind"] == "qwen3" else scratch.scratch_processor
    return make(sizes, sentences(folders.input_folder(folder, "data")))


def new_model(folder: Path, recipe: Mapping, processor):
    """A new model with random weights by the stage's seed, for pictures as large as its data's."""
    params, seed = recipe["params"]["model"], recipe["seed"]
    if params["scratch"]["kind"] == "qwen3":
        return scratch.scratch_text_model(params["scratch"], processor, seed)
    shards = Shards(folders.input_folder(folder, "data"), params.get("max_image_size", 0))
    side = max((side for name in shards.names for side in shards.size(name)), default=64)
    return scratch.scratch_model(params["scratch"], processor, side, seed)
