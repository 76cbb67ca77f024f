"""Tiles: the PNG files are valid and give back every pixel; words and symbols stand where they should."""

import io

import numpy as np
import pytest
from PIL import Image

from mmrc_helpers.worlds.puzzles import tiles

GREYS = bytes(level for index in range(16) for level in (index * 17,) * 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 7), (1500, 800)])
def test_a_file_gives_back_every_pixel(size):
    width, height = size
    indices = np.random.default_rng(0).integers(0, 16, (height, width), np.uint8)
    image = Image.open(io.BytesIO(tiles.encode(indices, GREYS)))
    image.verify()  # checksums of all chunks
    image = Image.open(io.BytesIO(tiles.encode(indices, GREYS))).convert("L")
    assert image.size == size and (np.asarray(image) == indices * 17).all()


def test_more_colours_than_four_bits_tell_apart_are_refused():
    with pytest.raises(ValueError, match="17 colours"):
        tiles.encode(np.zeros((2, 2), np.uint8), GREYS + b"abc")
    colours = tiles.palette(((255, 255, 255), (0, 0, 0)), ((9, 9, 9), (1, 1, 1)), ((0, 0, 255), (255, 0, 0)))
    assert len(colours) <= 48 and colours[:3] == b"\xff" * 3 and colours[-3:] == bytes((255, 0, 0))


def test_words_of_one_size_stand_on_one_line():
    bottoms = set()
    for text in ("H", "May", "gypsum", "E"):
        indices = np.zeros((60, 200), np.uint8)
        tiles.put(indices, (0, 0, 200, 60), tiles.word(text, 24), 0)
        assert indices.max() == tiles.INK
        letter = np.zeros((60, 200), np.uint8)
        tiles.put(letter, (0, 0, 200, 60), tiles.word(text[0], 24), 0)
        if text[0] in "HME":
            bottoms.add(int(np.flatnonzero(letter.any(1)).max()))
            top, bottom = np.flatnonzero(letter.any(1))[[0, -1]]
            assert abs(top - (59 - bottom)) <= 1  # capitals in the middle
    assert len(bottoms) == 1


def test_a_symbol_fills_the_asked_side_and_a_large_tile_is_cut():
    for side in (9, 20, 56):
        assert max(tiles.symbol("\u2764", side).shape) == side
    indices = np.zeros((10, 10), np.uint8)
    tiles.put(indices, (2, 2, 6, 6), np.full((8, 8), tiles.INK, np.uint8), 5)
    assert (indices[2:6, 2:6] == 5 + tiles.INK).all() and indices.sum() == 16 * (5 + tiles.INK)


def test_lines_stay_inside_and_leave_the_cells_equal():
    xs = tiles.edges(96, [1] * 6)
    assert xs == [0, 16, 32, 48, 64, 80, 96]
    indices = np.zeros((96, 96), np.uint8)
    tiles.draw_lines(indices, xs, xs, 2, 7)
    assert (indices[:, 94:] == 7).all() and (indices[:2] == 7).all() and indices[5, 5] == 0
