"""Toys of every family, built once for the tests of the models."""

from pathlib import Path

import pytest
from models import toys
from models.loaded import Toy, toy_of


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(params=[*toys.SEEING, *toys.READING])
def toy(request, toy_root) -> Toy:
    """Every family, also those that read only text."""
    return toy_of(request.param, toy_root)


@pytest.fixture(params=list(toys.SEEING))
def seeing(request, toy_root) -> Toy:
    """Every family with a vision part."""
    return toy_of(request.param, toy_root)


@pytest.fixture
def named_toy(toy_root):
    """The toy of a family by its name."""
    return lambda family: toy_of(family, toy_root)
