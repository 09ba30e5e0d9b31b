from __future__ import annotations

import fake_run
import pytest


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """(store, verdict) of a healthy and of a sick made-up run."""
    made = {}
    for kind in ("healthy", "sick"):
        store = fake_run.build(tmp_path_factory.mktemp(kind), healthy=kind == "healthy")
        made[kind] = (store, fake_run.verdict_of(store, healthy=kind == "healthy"))
    yield made
    for store, _ in made.values():
        store.close()
