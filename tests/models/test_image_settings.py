"""How large pictures are shown to a model can be set by a study: pixels and tokens follow in every family."""

import pytest
import torch
from models.loaded import PLAIN
from PIL import Image

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import features, load
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.store.pictures import Shards, fitted

ASKED = (("user", (("image", "wide.png"), ("text", "Who is this?"))), ("assistant", (("text", "Otto."),)))
# Of each family a setting of its image processor, and what becomes of the tokens of a picture.
CHANGES = {
    "qwen2_5_vl": ({"size": {"shortest_edge": 56 * 56, "longest_edge": 56 * 56}}, "fewer"),
    "qwen3_vl": ({"size": {"shortest_edge": 64 * 64, "longest_edge": 64 * 64}}, "fewer"),
    "smolvlm": ({"do_image_splitting": False}, "fewer"),
    "idefics3": ({"size": {"longest_edge": 64}}, "fewer"),
    "llava_next": ({"image_mean": [0.1, 0.1, 0.1]}, "as many"),
    "clip_and_convnext": ({"image_mean": [0.1, 0.1, 0.1]}, "as many"),
    "with_new_tower": ({"image_mean": [0.1, 0.1, 0.1]}, "as many"),
    "mllama": ({"image_std": [0.9, 0.9, 0.9]}, "as many"),
}


def shown(toy, longest=0, changes=None) -> tuple[int, dict[str, torch.Tensor]]:
    """How many tokens a conversation about a picture has, and the picture's arguments."""
    processor = load.load_processor(toy.folder, {**PLAIN, "image_processor": changes or {}})
    shards = Shards(toy.shards.paths[0].parents[1], longest)
    encoder = Encoder(processor, features.open_pictures(shards, [], processor))
    (row,) = encoder.tokens([ASKED])
    batch = encoder.batch([row])
    return len(row.ids_T), batch


def differ(one: dict, other: dict) -> bool:
    pixels = [batch["pixel_values"] for batch in (one, other)]
    return pixels[0].shape != pixels[1].shape or not torch.equal(*pixels)


def test_settings_of_the_image_processor_change_pixels_and_tokens(seeing):
    changes, wanted = CHANGES[seeing.family]
    before, plain = shown(seeing)
    after, changed = shown(seeing, changes=changes)
    assert differ(plain, changed)
    assert after < before if wanted == "fewer" else after == before


def test_a_picture_above_the_limit_is_seen_as_the_processor_sees_it_shrunk(seeing):
    before, plain = shown(seeing)
    after, small = shown(seeing, longest=60)
    assert differ(plain, small)
    assert after < before if seeing.family.startswith("qwen") else after <= before
    image = seeing.shards.read("wide.png").resize((60, 40), Image.Resampling.LANCZOS)
    alone = seeing.processor.image_processor([[image]], return_tensors="pt")["pixel_values"]
    assert torch.equal(small["pixel_values"], alone)
    assert not differ(plain, shown(seeing, longest=150)[1])


def test_a_model_reads_shrunk_pictures_by_pixels_as_by_features(seeing):
    shards = Shards(seeing.shards.paths[0].parents[1], 60)
    frozen = features.open_pictures(shards, ["wide.png"], seeing.processor, seeing.model, torch.device("cpu"))
    found = []
    for pictures in (frozen, features.open_pictures(shards, [], seeing.processor)):
        encoder = Encoder(seeing.processor, pictures)
        inputs = encoder.batch(encoder.tokens([ASKED]))
        del inputs["labels"]
        with torch.no_grad():
            found.append(seeing.model(**inputs).logits)
    assert (found[0] - found[1]).abs().max() < 2e-6


def test_shrunk_pictures_have_features_of_their_own(seeing, tmp_path):
    folder = seeing.shards.paths[0].parents[1]
    keys = {
        features.open_pictures(
            Shards(folder, longest), ["wide.png"], seeing.processor, seeing.model, folder=tmp_path
        ).folder
        for longest in (0, 60)
    }
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_resise": False}, "model.image_processor: 'do_resise' is not known; did you mean do_resize"),
        ({"patch_size": 7}, "patch_size must fit the model's weights"),
        ({"size": "small"}, "model.image_processor: "),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(named_toy, changes, message):
    with pytest.raises(UserError, match=message):
        shown(named_toy("qwen3_vl"), changes=changes)


def test_sides_keep_their_proportion():
    assert fitted((640, 480), 0) == (640, 480) == fitted((640, 480), 640)
    assert fitted((640, 480), 320) == (320, 240)
    assert fitted((2000, 1), 100) == (100, 1)
