"""What is told of a model ahead, from its files alone, is what it has once it is loaded."""

import random
from collections import Counter

import torch

from mmrc_helpers.models import load, plain
from mmrc_helpers.study import weights
from mmrc_helpers.study.image_tokens import cut

SIZES = [(64, 64), (640, 360), (150, 100), (80, 140), (331, 17)]
SIZES += [(rng.randint(20, 900), rng.randint(20, 900)) for rng in [random.Random(7)] for _ in range(20)]


def test_weights_and_their_parts_are_those_of_the_loaded_model(toy):
    told = weights.of_folder(toy.folder)
    assert weights.count(told) == sum(weight.numel() for weight in toy.model.parameters())
    linear = {n: m.weight.shape for n, m in toy.model.named_modules() if isinstance(m, torch.nn.Linear)}
    for part in ("language", "vision", "projector"):  # files may have older names for the same layers
        own = [(n.rsplit(".", 1)[-1], *shape) for n, shape in linear.items() if load.part_of(n) == part]
        found = [(n.rsplit(".", 1)[-1], *shape) for n, shape in weights.matrices(told, part).items()]
        assert not Counter(own) - Counter(found), part
        assert part != "language" or Counter(own) == Counter(found)  # of vision, embeddings look alike


def test_pictures_take_as_many_tokens_as_the_processor_writes(seeing):
    told = weights.of_folder(seeing.folder)
    for size in SIZES:
        assert cut(told.family, told.settings, size).tokens == len(plain.picture_ids(seeing.processor, size))


def test_an_unsplit_picture_is_one_tile(named_toy, tmp_path):
    toy = named_toy("idefics3")
    toy.model.save_pretrained(tmp_path)
    toy.processor.image_processor.do_image_splitting = False
    try:
        toy.processor.save_pretrained(tmp_path)
        told = weights.of_folder(tmp_path)
        for size in SIZES[:5]:
            assert cut(told.family, told.settings, size).tokens == len(plain.picture_ids(toy.processor, size))
    finally:
        toy.processor.image_processor.do_image_splitting = True
