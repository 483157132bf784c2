"""A fresh copy of one true record for each test that changes it."""

from __future__ import annotations

import pytest

from tests.layers.forge import Forge, new_forge


@pytest.fixture
def forge() -> Forge:
    return new_forge()
