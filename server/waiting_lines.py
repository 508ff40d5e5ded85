"""The waiting lines of all models of a gateway process."""

from functools import partial

from server.directory import Directory
from server.settings import GatewaySettings
from server.waiting_line import WaitingLine


class WaitingLines:
    """One line a model, made when it is first asked for."""

    def __init__(self, settings: GatewaySettings, directory: Directory) -> None:
        self._settings = settings
        self._directory = directory
        self._queues: dict[str, WaitingLine] = {}
        directory.on_change = self._wake

    def of(self, model: str) -> WaitingLine:
        """The line of a model that is served."""
        queue = self._queues.get(model)
        if queue is None:
            free = partial(self._directory.free_places, model, self._settings.worker_capacity)
            queue = self._queues[model] = WaitingLine(self._settings.queue_limit, free)
        return queue

    def depths(self) -> dict[str, int]:
        """Model -> how many wait."""
        return {model: queue.depth for model, queue in self._queues.items()}

    def _wake(self) -> None:
        for queue in self._queues.values():
            queue.wake()
