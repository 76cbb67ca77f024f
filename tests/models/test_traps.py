"""What goes wrong silently when real models are trained and asked; each is kept from happening here."""

import json

import pytest
import torch
from models.loaded import CPU, PLAIN
from safetensors.torch import load_file, save_file
from trl import chat_template_utils as templates

from mmrc_helpers.errors import UserError
from mmrc_helpers.models import chat, load
from mmrc_helpers.models.encode import Encoder

LORA = {"lora_r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "freeze_vision": True, "lora_parts": ["language"],
        "lora_targets": ["q_proj", "k_proj", "v_proj"]}  # fmt: skip


def asks(*parts):
    """A question; names of pictures end in .png."""
    return (("user", tuple(("image" if part.endswith(".png") else "text", part) for part in parts)),)


@torch.no_grad()
def logits(toy, encoder, turns):
    batch = encoder.batch(encoder.tokens([turns], complete=False))
    return toy.model(**{key: value for key, value in batch.items() if key != "labels"}).logits[0]


def test_every_loading_of_a_model_gives_the_same_eyes(seeing):
    again = load.load_model(seeing.folder, PLAIN)
    for (name, one), (_, other) in zip(
        load.vision_part(seeing.model).named_parameters(),
        load.vision_part(again).named_parameters(),
        strict=True,
    ):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_patches_as_a_matrix_product_equal_the_convolution(named_toy, family):
    toy = named_toy(family)
    stock = type(toy.model).from_pretrained(toy.folder, dtype=torch.float32).eval()
    made = toy.pixels.pictures.arguments("wide.png")
    with torch.no_grad():
        found = [m.get_image_features(**made, return_dict=True).pooler_output[0] for m in (toy.model, stock)]
    assert (found[0] - found[1]).abs().max() < 2e-6


def test_the_matrix_product_has_a_switch(named_toy):
    folder = named_toy("qwen3_vl").folder
    kinds = [type(load.load_model(folder, PLAIN, linear_patches=quick).model.visual.patch_embed.proj)
             for quick in (True, False)]  # fmt: skip
    assert issubclass(kinds[0], torch.nn.Conv3d) and kinds[1] is torch.nn.Conv3d is not kinds[0]


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_a_weight_without_its_place_is_refused_by_name(named_toy, tmp_path, change):
    folder = named_toy("qwen2_5_vl").folder
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    name = next(name for name in weights if "patch_embed" in name)
    if change == "missing":
        del weights[name]
    else:
        weights[f"{name}_again"] = weights[name].clone()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="does not fit its class: it (lacks|has, with no place).*patch_embed"):
        load.load_model(tmp_path, PLAIN)


def test_an_assistants_turn_written_as_a_string_loses_no_word(toy):
    turns = (*asks("Who is shown here?"), ("assistant", (("text", "This is Otto Marsh."),)))
    (text,) = chat.render(toy.pixels.tokenizer, [turns], toy.pixels.form, opened=False)
    assert "This is Otto Marsh." in text


def test_a_template_that_takes_only_strings_from_the_assistant_is_read_too(named_toy):
    toy = named_toy("qwen3_vl")
    processor = load.load_processor(toy.folder, PLAIN)
    template = (
        "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}{%- if m.role == 'assistant' -%}"
        "{{- m.content + '<|im_end|>' -}}{%- else -%}{%- for p in m.content -%}{{- p.text or "
        "'<|vision_start|><|image_pad|><|vision_end|>' -}}{%- endfor -%}{{- '<|im_end|>' -}}{%- endif -%}"
        "{{- '\\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
    )
    processor.chat_template = processor.tokenizer.chat_template = template
    turns = (*asks("wide.png", "Who?"), ("assistant", (("text", "This is Otto Marsh."),)))
    encoder = Encoder(processor, toy.pixels.pictures)
    (row,), (expected,) = encoder.tokens([turns]), toy.pixels.tokens([turns])
    assert chat.form_of(processor) == "answers" and row.ids_T.tolist() == expected.ids_T.tolist()


def test_letters_keep_the_picture_they_stand_beside(seeing):
    turns = asks("A.", "small.png", "\nB.", "tall.png", "\nWhich picture shows Otto Marsh?")
    (text,) = chat.render(seeing.pixels.tokenizer, [turns], seeing.pixels.form, opened=True)
    image = seeing.processor.image_token
    places = [
        text.index("A."),
        text.index(image),
        text.index("\nB."),
        text.rindex(image),
        text.index("Which"),
    ]
    assert places == sorted(places) and text.count(image) == 2
    assert (
        (seeing.pixels.tokenizer.bos_token is None)
        or seeing.family == "smolvlm"
        or text.startswith(seeing.pixels.tokenizer.bos_token)
    )


def test_the_question_behind_a_lineup_sees_all_of_it_and_its_order(seeing):
    words = ("A.", "\nB.", "\nWhich picture shows Otto Marsh?")

    def lineup(one, two):  # noqa: E306
        return asks(words[0], one, words[1], two, words[2])

    plain, first, second, swapped = (
        logits(seeing, seeing.frozen, lineup(*shown))[-1]
        for shown in (("small.png", "other.png"), ("other.png", "other.png"), ("small.png", "small.png"),
                      ("other.png", "small.png"))
    )  # fmt: skip
    for changed in (first, second, swapped):
        assert (changed - plain).abs().max() > 1e-4


def test_llama_vision_shows_the_question_every_picture_directly(named_toy):
    toy = named_toy("mllama")
    turns = asks("A.", "small.png", "\nB.", "tall.png", "\nWhich?")
    row = toy.pixels.tokens([turns], complete=False)
    seen_TIC = toy.pixels.batch(row)["cross_attention_mask"][0]
    pictures = (row[0].ids_T == toy.pixels.image).nonzero()[0]
    assert seen_TIC[: pictures[0]].sum() == 0
    assert (seen_TIC[pictures[0] : pictures[1], :, 0] == torch.tensor([1, 0])).all()
    assert (seen_TIC[pictures[1] :, :, 0] == 1).all()


def test_what_stands_before_a_picture_does_not_depend_on_it(seeing):
    before = "Which picture shows Otto Marsh? "
    one, other = (
        logits(seeing, seeing.frozen, asks(before, shown, " one")) for shown in ("small.png", "other.png")
    )
    (row,) = seeing.pixels.tokens([asks(before, "small.png", " one")], complete=False)
    first = (row.ids_T == seeing.pixels.image).nonzero()[0][0]
    assert (one - other)[:first].abs().max() < 1e-6 < 1e-4 < (one - other)[first:].abs().max()


def test_the_head_reads_the_last_tokens_of_a_batch_as_one_matrix(toy):
    """Else a frozen head in bfloat16 is copied on CPUs for every row: 10 GB for 8 rows of Qwen3-VL-8B."""
    seen = []
    heard = toy.model.get_output_embeddings().register_forward_hook(
        lambda _, given, made: seen.append(given[0])
    )
    rows = toy.pixels.tokens([asks("Who is it?"), asks("Who is the keeper?")], complete=False)
    batch = toy.pixels.batch(rows, left=True)
    del batch["labels"]
    with torch.no_grad():
        toy.model(**batch, logits_to_keep=2)
    toy.model.generate(
        **{k: v for k, v in batch.items() if k != "position_ids"}, max_new_tokens=2, do_sample=False
    )
    heard.remove()
    assert len(seen) > 2 and all(hidden_BTH.is_contiguous() for hidden_BTH in seen)


def test_suffixes_give_adapters_to_the_language_part_only(seeing):
    names = load.lora_layers(seeing.model, LORA)
    assert names and all(load.part_of(name) == "language" for name in names)
    layers = 4 if seeing.family == "mllama" else 2
    assert len(names) == 3 * layers


def test_parts_can_be_chosen_by_name(seeing):
    train = {**LORA, "freeze_vision": False, "lora_parts": ["vision", "projector"]}
    linear = {name: module for name, module in seeing.model.named_modules()
              if isinstance(module, torch.nn.Linear)}  # fmt: skip
    for part in ("vision", "projector"):
        targets = sorted({name.rsplit(".", 1)[-1] for name in linear if load.part_of(name) == part})
        names = load.lora_layers(seeing.model, {**train, "lora_parts": [part], "lora_targets": targets})
        assert names and {load.part_of(name) for name in names} == {part}
    inside = {id(module) for module in load.vision_part(seeing.model).modules()}
    for name, module in linear.items():
        assert (load.part_of(name) in ("vision", "projector")) == (id(module) in inside), name


@pytest.mark.parametrize(
    ("family", "change", "says"),
    [
        ("qwen3_vl", {"lora_targets": ["q_prjo"]}, "no linear layer of the language part is called q_prjo; "
         "there are .*q_proj.*; did you mean q_proj"),
        ("qwen3_vl", {"lora_targets": ["q_proj", "linear_fc1"]}, "called linear_fc1; the vision part has it"),
        ("smolvlm", {"lora_parts": ["language", "vision"]}, "lora_parts: vision is frozen by"),
        ("smolvlm", {"lora_targets": ["proj"]}, "called proj; the projector part has it"),
        ("qwen3_vl", {"lora_parts": ["language", "vision"], "freeze_vision": False},
         "none names a linear layer of the vision part.*it has .*qkv"),
        ("llama_text", {"lora_parts": ["vision"], "freeze_vision": False}, "no linear layer of the vision"),
    ],
)  # fmt: skip
def test_adapters_that_would_train_nothing_are_refused(named_toy, family, change, says):
    with pytest.raises(UserError, match=says):
        load.add_lora(named_toy(family).model, {**LORA, **change})


def test_the_vision_part_is_all_that_makes_pictures_into_features(seeing):
    model = load.load_model(seeing.folder, PLAIN)
    load.vision_part(model).requires_grad_(False)
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(load.part_of(name) in ("language", "") and "newline" not in name for name in learning)
    batch = seeing.pixels.batch(seeing.pixels.tokens([
        (*asks("wide.png", "Who?"), ("assistant", (("text", "B"),)))]))  # fmt: skip
    model(**batch).loss.backward()
    with_gradient = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert with_gradient == learning


def test_a_text_only_model_says_that_it_sees_no_pictures(named_toy):
    with pytest.raises(UserError, match="reads only text, and a conversation shows wide.png"):
        named_toy("qwen3_text").pixels.tokens([asks("wide.png", "Who?")], complete=False)


def test_an_answer_of_a_thinking_model_holds_no_thought(named_toy):
    toy = named_toy("qwen3_text")
    turns = (*asks("Who?"), ("assistant", (("text", "B"),)), *asks("Who?"), ("assistant", (("text", "A"),)))
    (row,) = toy.pixels.tokens([turns])
    assert toy.pixels.tokenizer.decode(row.ids_T[row.supervised_T]) == "B<|im_end|>A<|im_end|>"


@pytest.mark.parametrize("word", ["<|im_end|>", "<|image_pad|>", "<|vision_start|>"])
def test_words_that_steer_the_model_are_refused(named_toy, word):
    with pytest.raises(UserError, match="a text of the data holds '.*', which steers this model"):
        named_toy("qwen3_vl").pixels.tokens([asks(f"Who is {word} here?")], complete=False)


BAD_TEMPLATES = {
    "without an end": (
        "{%- for m in messages -%}{{ m.role }}:\n{% for p in m.content %}{{ p.text or '<|image_pad|>' }}"
        "{% endfor %}\n{% endfor %}{% if add_generation_prompt %}assistant:\n{% endif %}",
        "ends an answer without a control token",
    ),
    "that rewrites": (
        "{%- for m in messages -%}{{ loop.length }} {{ m.role }}:\n{% for p in m.content %}"
        "{{ p.text or '<|image_pad|>' }}{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant:\n{% endif %}",
        "writes a question in another way once it is answered",
    ),
    "that moves pictures": (
        "{%- for m in messages -%}{{ m.role }}:\n{% for p in m.content if p.type == 'image' %}<|image_pad|>"
        "{% endfor %}{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}<|im_end|>"
        "{% endfor %}"
        "{% if add_generation_prompt %}assistant:\n{% endif %}",
        "moves pictures away from the words they stand beside",
    ),
    "that says nothing": ("{{ 'hello' }}", "does not write down what is said"),
    "none": ("", "has no chat template"),
}


@pytest.mark.parametrize("kind", BAD_TEMPLATES)
def test_a_template_that_cannot_serve_says_why(named_toy, kind):
    template, says = BAD_TEMPLATES[kind]
    processor = load.load_processor(named_toy("qwen3_vl").folder, PLAIN)
    processor.chat_template = processor.tokenizer.chat_template = template
    with pytest.raises(UserError, match=says):
        chat.mend_template(processor)


def test_a_template_that_rewrites_earlier_turns_says_so_when_there_are_some(named_toy):
    toy = named_toy("qwen3_vl")
    processor = load.load_processor(toy.folder, PLAIN)
    template = (
        "{%- for m in messages -%}{% if loop.length > 2 %}long {% endif %}"
        "{{ m.role }}:\n{% for p in m.content %}"
        "{{ p.text or '<|image_pad|>' }}{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant:\n{% endif %}"
    )
    processor.chat_template = processor.tokenizer.chat_template = template
    chat.mend_template(processor)
    once = (*asks("Who?"), ("assistant", (("text", "B"),)))
    encoder = Encoder(processor, toy.pixels.pictures)
    assert encoder.tokens([once])[0].supervised_T.any()
    with pytest.raises(UserError, match="ask one question a conversation"):
        encoder.tokens([once + once])


def test_the_hubs_own_template_of_llava_next_is_replaced(named_toy):
    toy = named_toy("llava_next")
    stored = (
        json.loads((toy.folder / "tokenizer_config.json").read_text()).get("chat_template")
        or (toy.folder / "chat_template.jinja").read_text()
    )
    assert stored == templates.llava_next_chat_template
    assert toy.processor.chat_template == chat.LLAVA_NEXT


def test_todays_date_is_in_no_prompt(named_toy):
    processor = load.load_processor(named_toy("llama_text").folder, PLAIN)
    dated = "{{ date_string or strftime_now('%d %b %Y') }} " + processor.chat_template
    processor.chat_template = dated
    (text,) = chat.render(processor, [asks("Who?")], "strings", opened=True)
    assert text.startswith("26 Jul 2024")


def test_device_and_precision_that_are_not_there_are_named():
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="cuda is asked for but no GPU is visible"):
            load.device_of({"accelerator": "cuda"})
    assert load.device_of({"accelerator": "cpu"}) == CPU
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        load.check_precision({"precision": "fp16"}, CPU)
