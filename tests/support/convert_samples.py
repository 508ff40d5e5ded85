"""One record of each format that `kodolly data convert` knows, written for the project."""

import json
from pathlib import Path
from typing import Any

from finetune.data.convert.run import Conversion, ConvertRequest, convert

ALPACA = {
    "instruction": "된장찌개에 두부를 넣는 때를 알려 주세요.",
    "input": "",
    "output": "불을 끄기 5분 전에 넣습니다.",
}
KOALPACA_1_1 = {
    "instruction": "고양이는 왜 상자를 좋아하나요?",
    "output": "좁은 곳에서 안전하다고 느끼기 때문입니다.",
    "url": "https://kin.example/1",
}
DOLLY = {
    "instruction": "글에서 도시 이름을 모두 찾아라.",
    "context": "어제 부산에서 대전을 거쳐 왔다.",
    "response": "부산, 대전",
    "category": "information_extraction",
}
SHAREGPT = {
    "id": "대화-1",
    "conversations": [
        {"from": "human", "value": "제주도에 가려고 해."},
        {"from": "gpt", "value": "언제 가시나요? 계절마다 볼 것이 다릅니다."},
        {"from": "human", "value": "오월이야."},
        {"from": "gpt", "value": "청보리와 귤꽃이 한창이니 가파도를 권합니다."},
    ],
}
MESSAGES = {
    "messages": [
        {"role": "system", "content": "존댓말로 답한다."},
        {"role": "user", "content": "우산을 챙길까?"},
        {"role": "assistant", "content": "네, 저녁에 비가 옵니다."},
    ]
}
GUANACO = {
    "text": "### Human: 바다는 왜 짠가요?### Assistant: 강물이 실어 온 소금이 쌓였기 때문입니다."
    "### Human: 호수는요?### Assistant: 대개 흘러 나가므로 짜지 않습니다."
}
PARAGRAPH = "한밭도서관은 1989년에 문을 열었다. 장서는 60만 권이며 월요일에 쉰다."
KORQUAD_1 = {
    "title": "한밭도서관",
    "paragraphs": [
        {
            "context": PARAGRAPH,
            "qas": [
                {
                    "id": "q1",
                    "question": "도서관은 언제 문을 열었는가?",
                    "answers": [{"text": "1989년", "answer_start": 7}],
                },
                {"id": "q2", "question": "쉬는 날은?", "answers": [{"text": "월요일", "answer_start": 0}]},
            ],
        }
    ],
}
PAGE = (
    "<html><head><title>감나무골</title><style>p {color: red}</style></head><body><h1>감나무골</h1>"
    "<p>감나무골은 <b>산속</b> 마을이다.</p><h2>주민</h2>"
    "<table><tbody><tr><th>해</th><th>사람</th></tr><tr><td>2001</td><td>120명</td></tr></tbody></table>"
    "<ul><li>봄에는 나물</li><li>가을에는 감</li></ul></body></html>"
)
TABLE = PAGE[PAGE.index("<table>") : PAGE.index("</table>") + 8]


def page_question(name: str, question: str, answer: str) -> dict[str, Any]:
    """A KorQuAD 2 question about PAGE."""
    return {"id": name, "question": question, "answer": {"text": answer, "answer_start": PAGE.index(answer)}}


KORQUAD_2 = {
    "title": "감나무골",
    "url": "https://wiki.example/감나무골",
    "context": PAGE,
    "raw_html": "<html>버릴 것</html>",
    "qas": [
        page_question("p1", "감나무골은 어디에 있는 마을인가?", "<b>산속</b> 마을"),
        page_question("p2", "주민 수를 표로 보여라.", TABLE),
    ],
}
OASST = {
    "message_tree_id": "t1",
    "prompt": {
        "message_id": "m1",
        "text": "커피를 식지 않게 하려면?",
        "role": "prompter",
        "lang": "ko",
        "replies": [
            {"message_id": "m2", "text": "뚜껑을 덮으세요.", "role": "assistant", "rank": 1, "replies": []},
            {
                "message_id": "m3",
                "text": "보온병에 담고 미리 더운물로 데워 두세요.",
                "role": "assistant",
                "rank": 0,
                "replies": [],
            },
            {
                "message_id": "m4",
                "text": "지운 답",
                "role": "assistant",
                "rank": 2,
                "deleted": True,
                "replies": [],
            },
        ],
    },
}
OASST_MESSAGES = {
    "message_id": "m1",
    "parent_id": None,
    "message_tree_id": "t1",
    "text": "커피를 식지 않게 하려면?",
    "role": "prompter",
}
PAIR = {"prompt": "감기에 좋은 차는?", "chosen": "생강차가 목을 덥혀 줍니다.", "rejected": "몰라요."}
CHAT = {"Q": "오늘 너무 더워", "A": "그늘에서 쉬면서 물을 드세요.", "label": "0"}

SAMPLES: dict[str, dict[str, Any]] = {
    "alpaca": ALPACA,
    "koalpaca-1.1": KOALPACA_1_1,
    "dolly": DOLLY,
    "sharegpt": SHAREGPT,
    "messages": MESSAGES,
    "guanaco": GUANACO,
    "korquad-1": KORQUAD_1,
    "korquad-2": KORQUAD_2,
    "oasst": OASST,
    "pairs": PAIR,
    "table": CHAT,
}


def write_lines(path: Path, *records: Any) -> Path:
    """JSON Lines."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def converted(path: Path, **options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Conversion]:
    """(rows, refusals, what convert returned) of one input."""
    output = path.parent / "out" / "rows.jsonl"
    done = convert(ConvertRequest((path,), output, **options))
    return read_lines(output), read_lines(done.rejects) if done.rejects else [], done


def rows_of(tmp_path: Path, *records: Any, **options: Any) -> list[dict[str, Any]]:
    """The rows of these records; none may be refused."""
    rows, refusals, _ = converted(write_lines(tmp_path / "in.jsonl", *records), **options)
    assert refusals == []
    return rows
