"""What the registrar does when its caller has gone before it was done."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from qanat.core.errors import MisuseError
from qanat.node.processes.registrar import Registrar
from qanat.node.statedir import StateDir


@pytest.mark.parametrize("error", [MisuseError("no"), ValueError("ours")])
def test_a_refusal_whose_caller_has_gone_is_no_unhandled_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    going, unhandled = threading.Event(), list[dict[str, Any]]()
    desk = Registrar(StateDir(tmp_path), None)  # type: ignore[arg-type] - this work asks for no network

    def work() -> None:
        going.wait(10)
        raise error

    async def left() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await desk._done(work)
        going.set()
        async with desk._turn:  # once it is done
            pass
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(left())
    gc.collect()
    assert unhandled == []
    assert ("registrar: ValueError" in caplog.text) is isinstance(error, ValueError)
