"""The model with two encoders: what its tower joins, how it is put together, what of it is trained."""

import pytest
import torch
import transformers as hf
from models import toys
from models.loaded import PLAIN, drawn

from mmrc_helpers import assemble
from mmrc_helpers.errors import UserError
from mmrc_helpers.models import load, two_encoders


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three small models as they would be downloaded; of CLIP the whole."""
    place = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    tokenizer = toys.llama_tokenizer()
    language = hf.LlamaConfig(**toys.LANGUAGE, **toys._ends(tokenizer))
    words = {**toys.VISION, "num_hidden_layers": 1, "num_attention_heads": 4}
    clip = hf.CLIPConfig(vision_config=toys.CLIP, text_config=words, projection_dim=8)
    hf.LlamaForCausalLM(language).to(torch.bfloat16).save_pretrained(place / "llama")
    tokenizer.save_pretrained(place / "llama")
    hf.CLIPModel(clip).save_pretrained(place / "clip")
    hf.ConvNextModel(hf.ConvNextConfig(**toys.CONVNEXT)).save_pretrained(place / "convnext")
    return place


def call(models, name="joined", **parts) -> int:
    folders = {"language": "llama", "clip": "clip", "convnext": "convnext"} | parts
    named = [word for part, folder in folders.items() for word in (f"--{part}", folder)]
    return assemble.main([name, *named, "--cells", "2", "--models-folder", str(models)])


def test_three_models_become_one_that_a_study_can_name(models, capsys):
    assert call(models) == 0
    assert "model: {source: folder, name: joined}" in capsys.readouterr().out
    made = load.load_model(models / "joined", {**PLAIN, "dtype": "bfloat16"})
    parts = {
        "model.language_model": hf.LlamaForCausalLM.from_pretrained(models / "llama").model,
        "model.vision_tower.clip": hf.CLIPVisionModel.from_pretrained(models / "clip"),
        "model.vision_tower.convnext": hf.ConvNextModel.from_pretrained(models / "convnext"),
    }
    for place, part in parts.items():
        own = made.get_submodule(place).state_dict()
        for name, weight in part.state_dict().items():
            assert torch.equal(own[name], weight.to(torch.bfloat16)), f"{place}.{name}"
    projector = made.model.multi_modal_projector
    assert projector.linear_1.in_features == 48 + 24 and projector.linear_1.weight.std() > 0
    assert load.load_processor(models / "joined", PLAIN).image_token == two_encoders.IMAGE
    before = (models / "joined" / "made.json").stat().st_mtime_ns
    assert call(models) == 0 and (models / "joined" / "made.json").stat().st_mtime_ns == before


def test_what_is_missing_is_said_with_where_to_get_it_and_where_to_put_it(models, capsys):
    assert call(models, "other", clip="nowhere", convnext="neither") == 2
    said = capsys.readouterr().err
    for part, folder in (("clip", "nowhere"), ("convnext", "neither")):
        assert f"--{part}: no model at {models / folder}" in said
        assert f"`hf download {assemble.PARTS[part][0]} --local-dir {models / folder}`" in said


def test_a_part_of_another_kind_is_named(models):
    with pytest.raises(UserError, match="--clip: .*convnext is a model of the kind convnext"):
        two_encoders.write_assembled(
            models / "llama", models / "convnext", models / "convnext", models / "no", cells=2
        )


def test_the_tower_joins_the_maps_of_both_channel_by_channel():
    torch.manual_seed(0)
    tower = two_encoders.TwoEncoders(
        two_encoders.TwoEncodersConfig(clip_config=toys.CLIP, convnext_config=toys.CONVNEXT, cells=4)
    ).eval()
    pixels = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        joined = tower(pixel_values=pixels).last_hidden_state
        shrunk = torch.nn.functional.interpolate(pixels, (32, 32), mode="bilinear", antialias=True)
        seen = tower.clip(pixel_values=shrunk).last_hidden_state[:, 1:]
        other = tower.convnext(pixel_values=two_encoders.of_imagenet(pixels)).last_hidden_state
    # Both maps are four cells wide already: nothing is resampled, rows follow each other.
    assert joined.shape == (2, 16, 48 + 24)
    assert torch.equal(joined[..., :48], seen)
    assert torch.equal(joined[:, 4 * 2 + 3, 48:], other[:, :, 2, 3])


def test_convnext_sees_pictures_as_its_published_settings_make_them():
    as_is = {"do_resize": False, "do_center_crop": False, "return_tensors": "pt"}
    published = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    for_clip, own = (
        kind(**settings)(drawn((0, 64, 64)), **as_is)["pixel_values"]
        for kind, settings in ((hf.CLIPImageProcessor, {}), (hf.ConvNextImageProcessor, published))
    )
    assert torch.allclose(two_encoders.of_imagenet(for_clip), own, atol=1e-5)


def test_maps_of_other_sizes_are_brought_to_the_grid():
    config = two_encoders.TwoEncodersConfig(clip_config=toys.CLIP, convnext_config=toys.CONVNEXT, cells=3)
    constant = torch.full((1, 5, 4, 4), 2.5)
    found = two_encoders.TwoEncoders(config)._on_grid(constant)
    assert found.shape == (1, 5, 3, 3) and torch.allclose(found, torch.tensor(2.5))


def test_only_the_projector_learns_if_asked(named_toy):
    toy = named_toy("clip_and_convnext")
    model = load.load_model(toy.folder, PLAIN)
    load.train_only(model, "projector")
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learning == {
        f"model.multi_modal_projector.linear_{k}.{what}" for k in (1, 2) for what in ("weight", "bias")
    }
    words = load.load_model(named_toy("llama_text").folder, PLAIN)
    with pytest.raises(UserError, match="has no projector"):
        load.train_only(words, "projector")
