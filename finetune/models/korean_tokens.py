"""How many tokens a tokenizer makes of Korean text, which decides what a context window holds and what an
answer costs."""

from pathlib import Path

TEXT = (
    "서울의 겨울은 길고 건조하지만, 눈이 내린 다음 날 아침의 궁궐은 유난히 고요하다. 관람객은 오전 아홉 "
    "시부터 입장할 수 있으며, 예약을 취소하려면 하루 전까지 고객센터로 연락해야 한다. 지난해에는 약 "
    "120만 명이 다녀갔고, 그 가운데 절반 이상이 외국인이었다. “혹시 주차는 어디에 하나요?”라고 묻는 "
    "분들이 많은데요, 정문 옆 공영 주차장을 이용하시면 됩니다. 인공지능 기반 안내 서비스는 한국어와 "
    "영어로 제공되며, 질문을 입력하면 몇 초 안에 답을 드립니다. 자세한 내용은 홈페이지의 공지 사항을 "
    "참고해 주세요."
)
"""A sample of news, a colloquial question and a formal answer."""


def tokens_per_character(model: str) -> float | None:
    """Tokens per character of TEXT; None where the tokenizer of `model` is not on this machine.

    It is looked for in the Hugging Face cache and in `./NAME`, where `hf download --local-dir` may have put
    it. Nothing is downloaded.
    """
    from tokenizers import Tokenizer

    path = _tokenizer_file(model)
    if path is None:
        return None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # tokenizers raises plain Exception for a file it cannot read
        return None
    return len(tokenizer.encode(TEXT, add_special_tokens=False).ids) / len(TEXT)


def _tokenizer_file(model: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    beside = Path(model.rpartition("/")[2]) / "tokenizer.json"
    if beside.is_file():
        return beside
    cached = try_to_load_from_cache(model, "tokenizer.json")
    return Path(cached) if isinstance(cached, str) else None
