"""A worker as a controller lists it to gateways."""

from common.registry import ModelCard, WorkerLoad, WorkerRecord, WorkerState


def worker(
    worker_id: str,
    model: str,
    state: WorkerState = "ready",
    waiting: int = 0,
    incarnation: str = "incarnation-1",
) -> WorkerRecord:
    """The record of a worker with one model; the port of its URL follows the id's last digit."""
    return WorkerRecord(
        worker_id=worker_id,
        incarnation=incarnation,
        url=f"http://127.0.0.1:9{worker_id[-1]}00",
        models=(ModelCard(name=model, base="base-model"),),
        state=state,
        progress=0.62 if state == "loading" else 1.0,
        load=WorkerLoad(waiting=waiting),
    )
