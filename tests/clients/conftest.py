from __future__ import annotations

import pytest
from clients_house import Region


@pytest.fixture(scope="session")
def region(tmp_path_factory):
    region = Region(tmp_path_factory.mktemp("clients"))
    region.up()
    yield region
    region.down()
