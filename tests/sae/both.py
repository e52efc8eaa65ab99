"""The asyncio client behind the blocking one's face, so that one table of tests judges both."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from qanat.sae.async_client import AsyncKeyDeliveryClient
from qanat.sae.client import KeyDeliveryClient


class OnALoop:
    """Each call runs to its end on a loop of its own."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._client = AsyncKeyDeliveryClient(*arguments, **named)
        self._runner = asyncio.Runner()

    def __enter__(self) -> OnALoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        async def close() -> None:
            self._client.close()

        self._runner.run(close())
        self._runner.close()

    @property
    def kme_id(self) -> str:
        return self._runner.run(self._client.kme_id())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **named: self._runner.run(found(*arguments, **named))


CLIENTS = {"blocking": KeyDeliveryClient, "asyncio": OnALoop}
