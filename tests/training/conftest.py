"""Toys of every family for the tests of the methods."""

import pytest
from models import toys
from models.loaded import Toy, toy_of


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory):
    return tmp_path_factory.mktemp("toys")


# with_new_tower is of the class of idefics3, and taught by a study in models/test_new_tower.py.
@pytest.fixture(params=[*(name for name in toys.SEEING if name != "with_new_tower"), *toys.READING])
def toy(request, toy_root) -> Toy:
    """Every family, also those that read only text."""
    return toy_of(request.param, toy_root)


@pytest.fixture
def qwen(toy_root) -> Toy:
    return toy_of("qwen3_vl", toy_root)
