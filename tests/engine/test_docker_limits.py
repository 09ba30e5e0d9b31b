"""Two containers of a task find at once that Docker may not raise their limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from hikkoshi.region.engine.docker.daemon import DockerRefused
from hikkoshi.region.engine.docker.documents import TaskPlace
from hikkoshi.region.engine.docker.sandbox import DockerSandbox

LIMITS = "Max open files            20000                20000                files\n"
REFUSAL = "error setting rlimit type 7: operation not permitted"


def test_each_is_tried_again_within_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "limits").write_text(LIMITS)
    kit = SimpleNamespace(ceiling=None, proc=tmp_path)
    place = TaskPlace("one", "10.0.1.1", {}, 0.25, 512, has_group=False)
    sandbox = DockerSandbox(kit, "one", place, None, tmp_path, lambda _: None)

    async def scenario() -> list[tuple[int, int]]:
        both = asyncio.Barrier(2)

        async def attempt() -> tuple[int, int]:
            if kit.ceiling is None:
                await both.wait()
                raise DockerRefused(500, REFUSAL)
            return kit.ceiling["nofile"]

        tried = [sandbox._within_limits(attempt, tmp_path / "limits") for _ in range(2)]
        found = await asyncio.gather(*tried)

        async def never() -> None:
            raise DockerRefused(500, REFUSAL)

        with pytest.raises(DockerRefused, match="rlimit"):
            await sandbox._within_limits(never, tmp_path / "limits")
        return found

    assert asyncio.run(scenario()) == [(20000, 20000)] * 2
