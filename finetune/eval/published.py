"""Published KoBEST figures beside which ours are shown: macro F1 at 0, 5, 10 and 50 shots.

Source: the model cards of EleutherAI/polyglot-ko-1.3b, 3.8b, 5.8b and 12.8b (https://huggingface.co/EleutherAI).
They were measured on the test tables with the harness's old `polyglot` branch, not with today's tasks, so
that they give the order of magnitude but not the third digit.
"""

from collections.abc import Mapping

SHOTS = (0, 5, 10, 50)
MACRO_F1: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = {
    "polyglot-ko-1.3b": {
        "copa": (0.7196, 0.7193, 0.7204, 0.7206),
        "hellaswag": (0.5247, 0.5260, 0.5278, 0.5427),
        "boolq": (0.3552, 0.4751, 0.4109, 0.4038),
        "sentineg": (0.6790, 0.6257, 0.5514, 0.7851),
        "wic": (0.3297, 0.4850, 0.4650, 0.3290),
    },
    "polyglot-ko-3.8b": {
        "copa": (0.7595, 0.7608, 0.7638, 0.7788),
        "hellaswag": (0.5707, 0.5830, 0.5670, 0.5787),
        "boolq": (0.4320, 0.5263, 0.4930, 0.4038),
        "sentineg": (0.4858, 0.7950, 0.7320, 0.7851),
        "wic": (0.3390, 0.4944, 0.4203, 0.3835),
    },
    "polyglot-ko-5.8b": {
        "copa": (0.7745, 0.7676, 0.7775, 0.7887),
        "hellaswag": (0.5976, 0.5998, 0.5979, 0.6208),
        "boolq": (0.4356, 0.5698, 0.5187, 0.5236),
        "sentineg": (0.3394, 0.8841, 0.8808, 0.9521),
        "wic": (0.3913, 0.4688, 0.4189, 0.3910),
    },
    "polyglot-ko-12.8b": {
        "copa": (0.7937, 0.8108, 0.8037, 0.8368),
        "hellaswag": (0.5954, 0.6306, 0.6098, 0.6118),
        "boolq": (0.4818, 0.6041, 0.6289, 0.6448),
        "sentineg": (0.9117, 0.9015, 0.9345, 0.9723),
        "wic": (0.3985, 0.3683, 0.3307, 0.3273),
    },
}


def published_macro_f1(task: str, shots: int) -> dict[str, float]:
    """Model -> macro F1 of `task`; empty for a task or a number of shots that was not published."""
    if shots not in SHOTS:
        return {}
    place = SHOTS.index(shots)
    return {model: tasks[task][place] for model, tasks in MACRO_F1.items() if task in tasks}
