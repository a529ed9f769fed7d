"""The kill switch of one replica: wires what is halted to those who must obey it. Decides nothing else."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from google.protobuf.message import Message

from server.call import Call
from server.config.live_settings import LiveSettings
from server.inference.halting_predictor import HaltingPredictor, Predicts
from server.replica_stores import halt_store
from server.rpc.dispatch import UnaryMethod
from server.rpc.halt_guard import HaltGuard
from server.rpc.halt_service import HaltService
from server.security.authorizer import Authorizer
from server.security.halt_keeper import HaltKeeper, HaltState
from server.security.halt_view import Halts
from server.security.open_streams import OpenStreams


class ReplicaHalts:
    """Halts, from their store to every answer.

    Args:
        live: The settings; where halts are kept cannot change.
        authorizer: Knows the keys, whose streams end with them.

    Attributes:
        view: What is halted.
        streams: Ends the streams of callers who lose the right to them.
    """

    def __init__(self, live: LiveSettings, authorizer: Authorizer) -> None:
        self.view = Halts()
        self.streams = OpenStreams(self.view, authorizer)
        settings = live.current
        self._keeper = HaltKeeper(self.view, halt_store(settings), fail_closed=settings.halts.fail_closed)
        self._service = HaltService(self.view, self._keeper, live=live)
        self._guard = HaltGuard(self.view)

    @property
    def state(self) -> HaltState:
        """How the halts stand."""
        return self._keeper.state

    @property
    def methods(self) -> Mapping[str, UnaryMethod]:
        """The RPCs, by short name."""
        service = self._service
        return {"Halt": service.halt, "Resume": service.resume, "ListHalts": service.list_halts}

    def around(self, predictor: Predicts) -> HaltingPredictor:
        """Returns a predictor that answers what is not halted."""
        return HaltingPredictor(predictor, self.view)

    def leaving(self, response: Message, call: Call) -> Message:
        """Looks at a response before it is sent; see `HaltGuard.leaving`."""
        return self._guard.leaving(response, call)

    async def load(self) -> None:
        """Learns what is halted, before the first request."""
        await self._keeper.load()

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Returns what runs for as long as the replica serves."""
        return [self._keeper.run(), self.streams.run()]

    async def close(self) -> None:
        """Lets go of the store. Idempotent."""
        await self._keeper.close()
