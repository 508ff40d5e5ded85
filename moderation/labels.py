"""What the labels of published classifiers mean, in the words of OpenAI's categories."""

from collections.abc import Mapping, Sequence

from moderation.classes import CLASSES, OPENAI_CATEGORIES, TO_OPENAI

CLEAN = frozenset(
    (
        *(
            "clean",
            "none",
            "normal",
            "neutral",
            "safe",
            "ok",
            "non-toxic",
            "non_toxic",
            "not_hate",
            "non-hate",
        ),
        *("nothate", "not-hate", "no_hate", "not offensive", "immoral_none", "정상", "일반", "깨끗"),
    )
)
"""Labels of a text that may pass, in lower case."""
_KNOWN: Mapping[str, str] = {
    **{name: name for name in OPENAI_CATEGORIES},
    **{name.lower(): TO_OPENAI[name] for name in CLASSES},
    **dict.fromkeys(("비난", "욕설", "악플/욕설", "모욕", "조롱"), "harassment"),
    **dict.fromkeys(("혐오", "차별", "기타 혐오", "여성/가족", "남성", "성소수자"), "hate"),
    **dict.fromkeys(("인종/국적", "연령", "지역", "종교", "hate speech", "hateful", "identity_hate"), "hate"),
    **dict.fromkeys(("identity_attack", "identity_hate", "profile", "race", "gender", "religion"), "hate"),
    **dict.fromkeys(("선정", "성적", "음란", "obscene", "sexual_explicit", "nsfw", "porn"), "sexual"),
    **dict.fromkeys(("폭력", "협박"), "violence"),
    **dict.fromkeys(("범죄", "crime"), "illicit"),
    **dict.fromkeys(("toxic", "toxicity", "insult", "offensive", "abusive", "profanity"), "harassment"),
    **dict.fromkeys(("threat", "severe_threat"), "harassment/threatening"),
    **dict.fromkeys(("self_harm", "self harm", "자해"), "self-harm"),
}
"""In lower case: labels of OpenAI, AI Hub, Smilegate's UnSmile, BEEP, K-MHaS and Jigsaw's sets."""


def is_clean(label: str) -> bool:
    """Whether it says that a text may pass."""
    return label.strip().lower() in CLEAN


def openai_category(label: str) -> str | None:
    """None for a label whose name says nothing of it; it is answered under its own name alone."""
    return _KNOWN.get(label.strip().lower())


def has_meaning(labels: Sequence[str]) -> bool:
    """Whether a classifier of these labels can moderate: one of them is known. Moods and topics are not."""
    return any(openai_category(label) is not None for label in labels)
