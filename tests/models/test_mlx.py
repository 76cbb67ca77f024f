"""A model says by MLX what it says by torch. Runs where the extra `mlx` is installed, on Linux on the CPU."""

from importlib.util import find_spec

import pytest
import tiny
import torch

from mmrc_helpers.models import load, mlx
from mmrc_helpers.models.answer import Answerer
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import open_pictures
from mmrc_helpers.store.pictures import Shards, write_shards
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.worlds import WORLDS

pytestmark = pytest.mark.skipif(not find_spec("mlx_vlm"), reason="the extra mlx is not installed")


@pytest.mark.filterwarnings("ignore")  # of other people's modules
def test_the_embedded_model_says_by_mlx_what_it_says_by_torch(tmp_path):
    folder = tiny.base_model() / "model"
    world = WORLDS["people"]
    facts = load_study("smoke").runs[0].params["world"]["facts"]
    made = world.make({**facts, "novel": 16, "train_scenes": 1, "text_scenes": 1, "passers_by": 0}, 0)
    asked = [
        e for e in made.examples if e.split == "test" and e.facets["population"] == "background" and e.answer
    ]
    asked = asked[:: len(asked) // 12][:12]
    shown = {name for example in asked for name in example.pictures}
    write_shards(
        tmp_path, {name: made.pictures[name] for name in shown}, made.draw, 1, lambda done, total: None
    )
    model = {"dtype": "float32", "quantize": "none", "trust_remote_code": False}
    torch_model, processor = load.load_model(folder, model).eval(), load.load_processor(folder, model)
    pictures = open_pictures(Shards(tmp_path), sorted(shown), processor)
    answerer = Answerer(torch_model, Encoder(processor, pictures), torch.device("cpu"), 12, 1, 12)
    by_mlx = [text for _, text, _ in mlx.answers(folder, asked, tmp_path, 12)]
    assert by_mlx == [text.strip() for text in answerer.written(asked)]
