"""What a phase logs is shown under its own heading; both sides of a pair stand beside each other."""

import base64
import io

import pandas as pd
from PIL import Image

from mmrc_helpers.figures import sheets, training

LOGGED = {
    "line": "phase 1: grpo",
    "step": [1, 2],
    "loss": [0.1, -0.1],
    "reward": [0.2, 0.4],
    "reward_std": [0.1, 0.1],
    "rewards_right_mean": [0.1, 0.3],
    "rewards_right_std": [0.1, 0.2],
    "rewards_format_mean": [1.0, 1.0],
    "kl": [0.0, 0.01],
    "entropy": [2.0, 1.9],
    "completions_mean_length": [8.0, 7.0],
    "logps_chosen": [None, None],
}


def test_every_panel_shows_its_own_numbers():
    figure = training.metrics(pd.DataFrame(LOGGED))
    shown = {axes.get_title(): len(axes.lines) for axes in figure.axes if axes.get_visible()}
    assert shown == {
        "loss": 1,
        "rewards": 1,
        "parts of the reward": 2,
        "KL to the reference": 1,
        "entropy": 1,
        "length of completions": 1,
    }


def test_a_loss_has_the_unit_of_its_method():
    units = []
    for line in ("phase 1: sft", "phase 1: align"):
        (loss,) = training.metrics(pd.DataFrame({"line": [line], "step": [1], "loss": [0.1]})).axes
        units.append(loss.get_ylabel())
    assert units == ["nats per supervised token", ""]


def test_a_pair_stands_side_by_side_with_its_pictures_and_masks():
    encoded = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(encoded, "PNG")
    row = {"tokens": ["Who", "Otto", "."], "mask": [0, 1, 1], "images": ["red"]}
    rows = [row, {**row, "side": "chosen"}, {**row, "side": "rejected", "images": ["red", "red"]}]
    html = sheets.batch(rows, lambda name: encoded.getvalue(), {"red": "Otto"})
    alone, pair = html.split('<div class="pair">')
    assert alone.count("<img") == 1 and "row 1: 2 of 3 tokens carry loss" in alone
    assert pair.count('<div class="card">') == 2 and pair.count("<img") == 3 and pair.count("<mark>") == 4
    assert "row 2, chosen" in pair and "row 2, rejected" in pair and 'alt="Picture of Otto"' in pair


def test_a_drawing_in_few_colours_is_shown_whole_and_large_enough_to_read():
    for mode, shown in (("P", 'class="diagram"'), ("L", 'class="diagram"'), ("RGB", 'alt="a, picture 1"')):
        encoded = io.BytesIO()
        Image.new(mode, (1500, 800)).save(encoded, "PNG")
        row = {"title": "a", "text": "two\nlines", "pictures": ["one"]}
        html = sheets.facts([row], lambda name, encoded=encoded: encoded.getvalue())
        assert f"<img {shown}" in html and '<span class="kind said">two\nlines</span>' in html
        assert 'tabindex="0"' in sheets.facts(
            [row | {"text": "a" * 700}], lambda name, of=encoded: of.getvalue()
        )
        embedded = html.partition("base64,")[2].partition('"')[0]
        size = Image.open(io.BytesIO(base64.b64decode(embedded))).size
        assert size == ((128, 68) if mode == "RGB" else (512, 273))
