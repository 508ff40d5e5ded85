"""Sentences about opinions on answers, Korean and English side by side, as in `webui.texts`."""

SCRIPT = "opinion_script_"
"""How the keys of those begin that the page's script draws (`assets/opinion.js`)."""

MESSAGES: dict[str, tuple[str, str]] = {
    "opinion_saved": ("평가를 저장했습니다.", "Your opinion is saved."),
    "opinion_corrected": ("고쳐 쓴 답변을 저장했습니다.", "Your corrected answer is saved."),
    "opinion_withdrawn": ("평가를 거두었습니다.", "Your opinion is withdrawn."),
    "opinion_words_not_kept": (
        "평가를 저장했습니다. 이 서버는 글을 보관하지 않아, 쓴 글은 이 화면에만 남습니다.",
        "Your opinion is saved. This server keeps nobody's words: what you wrote stays on this page alone.",
    ),
    "opinion_unsent": (
        "여기에는 남겨 두었지만 게이트웨이에 보내지 못했습니다. {reason}",
        "Kept here, but the gateway has not taken it. {reason}",
    ),
    "opinion_gone": (
        "이 답변은 지워졌거나 새 답변으로 바뀌어 평가할 수 없습니다. 쓴 글은 그대로 있습니다.",
        "This answer was deleted or replaced, so it can't be judged. What you wrote is still here.",
    ),
    # Drawn by the page's script
    "opinion_script_group": ("답변 평가", "What you think of the answer"),
    "opinion_script_up": ("좋아요", "Good answer"),
    "opinion_script_down": ("아쉬워요", "Bad answer"),
    "opinion_script_more": ("평가", "Rate"),
    "opinion_script_score": ("점수", "Score"),
    "opinion_script_scale": ("1 쓸모없음 – 5 완벽함", "1 useless – 5 perfect"),
    "opinion_script_points": ("{score}점", "{score} of 5"),
    "opinion_script_clear": ("점수 지우기", "Clear score"),
    "opinion_script_tags": ("아쉬운 점", "What is wrong"),
    "opinion_script_comment": ("한마디", "Remark"),
    "opinion_script_correct": ("고쳐 쓰기", "Correct"),
    "opinion_script_corrected": ("고쳐 쓴 답변", "As it should have been"),
    "opinion_script_hint": (
        "이렇게 답했어야 한다 싶은 글로 고쳐 주세요. 대화와 함께 게이트웨이에 저장되어 다음 학습에 "
        "쓰일 수 있습니다.",
        "Change it into the answer that it should have been. It is saved at the gateway with the "
        "conversation, and the next training may learn from it.",
    ),
    "opinion_script_save": ("저장", "Save"),
    "opinion_script_cancel": ("취소", "Cancel"),
    "opinion_script_remove": ("고친 글 지우기", "Remove the correction"),
    "opinion_script_unchanged": ("고친 곳이 없습니다.", "Nothing has been changed."),
    "opinion_script_saving": ("저장하는 중…", "Saving…"),
    "opinion_script_again": ("다시 보내기", "Send again"),
    "opinion_script_not_sent": (
        "게이트웨이에 아직 보내지 못한 평가가 있습니다.",
        "The gateway has not taken this opinion yet.",
    ),
    "opinion_script_away": (
        "웹 UI가 응답하지 않아 저장하지 못했습니다. 쓴 글은 그대로 있습니다.",
        "The web UI does not respond, so nothing was saved. What you wrote is still here.",
    ),
    "opinion_script_failed": (
        "저장하지 못했습니다. 쓴 글은 그대로 있습니다.",
        "It could not be saved. What you wrote is still here.",
    ),
}
