"""Published Korean data for the few tests that try it; what they try is tried on data of the repository, too.

The files lie in `shared/data`, beside the checkout, and nobody has to have them: a test that lacks one says
where it is published.
"""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "data"
KOALPACA = "koalpaca_v1.0_8000.json"
KOBEST = "kobest_v1.0"
SAMPLES = "seed_samples"
SOURCES = {
    KOALPACA: "the first 8,000 records of KoAlpaca_v1.0.json, https://github.com/Beomi/KoAlpaca",
    "chatbot_data_9800.csv": "the first 9,823 rows of ChatbotData.csv, https://github.com/songys/Chatbot_data",
    "sharegpt_fastchat_dummy.json": "data/dummy_conversation.json, https://github.com/lm-sys/FastChat",
    KOBEST: "the folder v1.0, https://github.com/SKT-LSL/KoBEST_datarepo",
    SAMPLES: "the first records of the published files that docs/data.md names, one small file for each",
}


def real_data(name: str) -> Path:
    """A file or folder of it; the test is skipped where it is missing."""
    path = FOLDER / name
    if not path.exists():
        source = SOURCES[name.partition("/")[0]]
        pytest.skip(f"{path} is not here. To run this test, put there {source}")
    return path
