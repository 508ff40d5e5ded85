"""The waiting lines of all models of a gateway process."""

from server.inference.queue import ModelQueue
from server.settings import GatewaySettings
from server.upstreams.choice import free_places
from server.upstreams.directory import Directory


class ModelQueues:
    """One line a model, made when it is first asked for."""

    def __init__(self, settings: GatewaySettings, directory: Directory) -> None:
        self._settings = settings
        self._directory = directory
        self._queues: dict[str, ModelQueue] = {}

    def of(self, model: str) -> ModelQueue:
        """The line of a model that is served."""
        queue = self._queues.get(model)
        if queue is None:
            queue = self._queues[model] = ModelQueue(self._settings.queue_limit)
        return queue

    def has_room(self, model: str) -> bool:
        """Whether a worker of the model could run one more request."""
        return free_places(self._directory, model, self._settings.worker_capacity) > 0

    def depths(self) -> dict[str, int]:
        """Model -> how many wait."""
        return {model: queue.depth for model, queue in self._queues.items()}

    def release_all(self) -> None:
        """Workers have changed: see who may go on."""
        for queue in self._queues.values():
            queue.release()
