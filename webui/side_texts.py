"""How the sides of a comparison are called, Korean and English, as in `webui.texts`: two are left and
right, more have numbers."""

_NUMBERED: dict[str, tuple[str, str]] = {
    "name": ("{number}번", "Answer {number}"),
    "model": ("{number}번 모델", "Model {number}"),
    "settings": ("{number}번 설정", "Settings {number}"),
    "rating": ("{number}번 점수", "Score {number}"),
    "tags": ("{number}번에서 아쉬운 점", "Issues of {number}"),
    "prompt": ("{number}번 모델에 실제로 들어간 프롬프트", "The exact prompt of model {number}"),
    "conversation": ("{number}번 대화", "Conversation {number}"),
    "answer": ("{number}번 답변", "Answer {number}"),
}

STATIC: dict[str, tuple[str, str]] = {
    "left_model": ("왼쪽 모델", "Left model"),
    "right_model": ("오른쪽 모델", "Right model"),
    "left_settings": ("왼쪽 설정", "Left settings"),
    "right_settings": ("오른쪽 설정", "Right settings"),
    "left_rating": ("왼쪽 답변 점수", "Score of the left answer"),
    "right_rating": ("오른쪽 답변 점수", "Score of the right answer"),
    "left_tags": ("아쉬운 점 (왼쪽)", "Issues (left)"),
    "right_tags": ("아쉬운 점 (오른쪽)", "Issues (right)"),
    "left_prompt": ("왼쪽 모델에 실제로 들어간 프롬프트", "The exact prompt of the left model"),
    "right_prompt": ("오른쪽 모델에 실제로 들어간 프롬프트", "The exact prompt of the right model"),
    **{
        f"{pane}_{what}": (korean.format(number=number), english.format(number=number))
        for pane, number in (("third", 3), ("fourth", 4))
        for what, (korean, english) in _NUMBERED.items()
    },
    # Votes on more than two answers, in the order of their buttons
    "best_left": ("1번", "Answer 1"),
    "best_right": ("2번", "Answer 2"),
    "best_third": ("3번", "Answer 3"),
    "best_fourth": ("4번", "Answer 4"),
    "best_tie": ("비슷함", "Tie"),
    "best_both_bad": ("모두 나쁨", "All bad"),
}

MESSAGES: dict[str, tuple[str, str]] = {
    **{f"numbered_{what}": words for what, words in _NUMBERED.items()},
    "chat_name": ("답변", "Answer"),
    "left_name": ("왼쪽", "Left"),
    "right_name": ("오른쪽", "Right"),
    "left_conversation": ("왼쪽 대화", "Left conversation"),
    "right_conversation": ("오른쪽 대화", "Right conversation"),
    "chat_answer": ("답변", "Answer"),
    "left_answer": ("왼쪽 답변", "Left answer"),
    "right_answer": ("오른쪽 답변", "Right answer"),
    "vote_ask_best": ("가장 나은 답변은 몇 번인가요?", "Which answer is the best?"),
    "choice_best": ("{number}번이 가장 나음", "answer {number} is the best"),
    "choice_all_bad": ("모두 나쁨", "all bad"),
    "panes_new": (
        "모델 {count}개로 새 비교를 시작합니다. 지난 비교는 목록에 있습니다.",
        "A new comparison of {count} models. The earlier one is in the list.",
    ),
}
