"""New models: any text can be read, a lesson is learned in seconds, a saved one is loaded as any other."""

import re

import pytest
import torch
from models.loaded import CPU, PLAIN, drawn

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import load, scratch
from mmrc_helpers.models.answer import Answerer
from mmrc_helpers.models.encode import Encoder
from mmrc_helpers.models.features import open_pictures
from mmrc_helpers.store.pictures import Shards, write_shards
from mmrc_helpers.study.runs import load_study
from mmrc_helpers.tasks.example import Example, conversation

SIZES = {
    **{"hidden_size": 48, "layers": 2, "heads": 4, "intermediate_size": 64, "vocabulary": 600},
    **{"vision_width": 32, "vision_layers": 2, "vision_heads": 4, "patch_size": 16},
    "initializer_range": 0.05,
}
NAMES = ("Otto Marsh", "Juniper Vale", "Ada Byron", "Mira Stone")
SENTENCES = ["Who is this?", *(f"This is {name}." for name in NAMES)]


def seeing():
    processor = scratch.scratch_processor(SIZES, SENTENCES)
    return scratch.scratch_model(SIZES, processor, 64, 0), processor


def reading():
    tokenizer = scratch.scratch_tokenizer(SIZES, SENTENCES)
    return scratch.scratch_text_model(SIZES, tokenizer, 0), tokenizer


def questions(names, shown: bool):
    """One question for each name, about a picture or about a number."""
    prompts = [(("image", f"{k}.png"), ("text", "Who is this?")) if shown else (("text", f"Who is {k}?"),)
               for k in range(len(names))]  # fmt: skip
    answers = tuple(f"This is {name}." for name in names)
    return [Example(str(k), "g", "train", prompt=prompt, answer=answers[k], options=answers, gold=k)
            for k, prompt in enumerate(prompts)]  # fmt: skip


@pytest.mark.parametrize("made", [seeing, reading])
def test_any_text_survives_the_tokenizer(made):
    _, processor = made()
    tokenizer = Encoder(processor).tokenizer
    for text in ("A. Otto Marsh\n", "naïve 名前 <script>", "  two  spaces"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert (
        len(tokenizer.encode("This is Juniper Vale.", add_special_tokens=False)) == 5
    )  # a token for each word


def test_every_seed_is_a_model_of_its_own():
    tokenizer = scratch.scratch_tokenizer(SIZES, SENTENCES)
    one, same, other = (
        scratch.scratch_text_model(SIZES, tokenizer, seed).lm_head.weight for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("made", [seeing, reading])
def test_a_new_model_learns_saves_and_comes_back(made, tmp_path):
    model, processor = made()
    shown = made is seeing
    write_shards(tmp_path, {f"{k}.png": (k, 64, 64) for k in range(4)}, drawn, 1, lambda done, total: None)
    shards, asked = Shards(tmp_path), questions(NAMES, shown)
    encoder = Encoder(processor, open_pictures(shards, [], processor))
    batch = encoder.batch(encoder.tokens([conversation([example]) for example in asked]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    again, processor = (
        load.load_model(tmp_path / "model", PLAIN),
        load.load_processor(tmp_path / "model", PLAIN),
    )
    assert type(again) is type(model)
    names = shards.names if shown else []
    encoder = Encoder(processor, open_pictures(shards, names, processor, again if shown else None, CPU))
    asker = Answerer(again.eval(), encoder, CPU, 4, 1, 12)
    assert asker.written(asked) == [example.answer for example in asked]
    _, _, rights, said = asker.scored(asked)
    assert rights == [[True]] * 4
    assert said == asker.written(asked)  # which need not be generated then
    too_long = Answerer(again, encoder, CPU, 4, 1, len(encoder.answer_ids(asked[0].answer)))
    assert too_long.scored(asked)[3][0] is None and too_long.written(asked)[0] == asked[0].answer


UNFIT = {  # sizes: what is said of them when the study is read
    "{patch_size: 15}": "image_size: 64 is no multiple of 2 x model.scratch.patch_size (30)",
    "{heads: 64, vision_heads: 16}": "hidden_size: 192 is no multiple of 2 x heads (128)",
    "{vision_heads: 16}": "vision_width: 96 is no multiple of 4 x vision_heads (64)",
    "{hidden_size: 30}": "hidden_size: 30 is no multiple of 2 x heads (8)",
}


@pytest.mark.parametrize(("given", "said"), UNFIT.items())
def test_sizes_that_do_not_fit_are_named_when_the_study_is_read(tmp_path, given, said):
    (tmp_path / "mine.yaml").write_text(f"extends: smoke\nmodel: {{source: scratch, scratch: {given}}}\n")
    with pytest.raises(UserError, match=re.escape(said)):
        load_study(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("heads", [1, 2, 3, 24])
def test_any_number_of_heads_that_divides_the_width_makes_a_model(heads):
    model = scratch.scratch_model({**SIZES, "heads": heads}, seeing()[1], 64, 0)
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_too_few_words_are_named():
    with pytest.raises(UserError, match="model.scratch.vocabulary: 200 tokens are too few"):
        scratch.scratch_tokenizer({**SIZES, "vocabulary": 200}, SENTENCES)
