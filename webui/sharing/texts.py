"""Sentences of shared conversations, Korean and English side by side, as in `webui.texts`."""

MESSAGES: dict[str, tuple[str, str]] = {
    "shared_on": ("{day}에 공유한 대화입니다. 읽기만 할 수 있습니다.", "Shared on {day}, read-only."),
    "shared_gone_title": ("공유가 끝났습니다", "No longer shared"),
    "shared_gone": (
        "이 주소의 대화는 더 공유하지 않거나 지워졌습니다.",
        "This conversation is no longer shared, or was deleted.",
    ),
    "shared_question": ("질문", "Question"),
}
