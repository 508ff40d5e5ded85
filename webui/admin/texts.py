"""Sentences of the administrators' page, Korean and English side by side, as in `webui.texts`."""

MESSAGES: dict[str, tuple[str, str]] = {
    "nav_compare": ("비교", "Compare"),
    "nav_chat": ("채팅", "Chat"),
    "nav_results": ("결과", "Results"),
    "nav_documents": ("문서", "Documents"),
    "nav_models": ("모델", "Models"),
    "nav_admin": ("관리", "Admin"),
    "admin_not_yours": (
        "이 페이지는 관리자만 볼 수 있습니다.",
        "Only administrators see this page.",
    ),
    "admin_needs_admin_key": (
        "게이트웨이에 관리자 키로 등록된 키가 아닙니다. "
        "`kodolly keys create 이름 --admin`으로 만든 키가 필요합니다.",
        "To the gateway this is no admin key. Use one made by `kodolly keys create NAME --admin`.",
    ),
    "admin_failed": ("게이트웨이에서 읽지 못했습니다.", "The gateway could not be read."),
    "admin_new_key": ("새 키", "New key"),
    "admin_keys": ("키", "Keys"),
    "admin_no_keys": (
        "아직 키가 없습니다. 첫 키를 만들면 게이트웨이는 모든 요청에 키를 요구합니다.",
        "There are no keys yet. With the first one the gateway asks everybody for a key.",
    ),
    "admin_name": ("이름", "Name"),
    "admin_models": ("모델 (쉼표로 구분, 비우면 모두)", "Models (commas between; empty for all)"),
    "admin_requests_per_min": ("분당 요청", "Requests a minute"),
    "admin_tokens_per_min": ("분당 토큰", "Tokens a minute"),
    "admin_concurrency": ("동시 요청", "Requests at once"),
    "admin_budget_tokens": ("월 토큰 예산", "Tokens a month"),
    "admin_expires": ("마지막 날 (UTC)", "Last day (UTC)"),
    "admin_unlimited": ("한도 없음", "No limits"),
    "admin_make_admin": ("관리자 키로 만들기", "Make it an admin key"),
    "admin_create": ("키 만들기", "Create key"),
    "admin_save": ("저장", "Save"),
    "admin_revoke": ("취소하기", "Revoke"),
    "admin_revoke_sure": (
        "이 키를 취소합니다. 되돌릴 수 없습니다.",
        "Revoke this key. It cannot be taken back.",
    ),
    "admin_in_force": ("사용 중", "in force"),
    "admin_expired": ("만료됨", "expired"),
    "admin_revoked": ("취소됨", "revoked"),
    "admin_is_revoked": ("취소된 키는 바꿀 수 없습니다.", "A revoked key cannot be changed."),
    "admin_secret": (
        "키의 비밀값입니다. 지금만 보이니 복사해 두세요.",
        "The key's secret. It is shown this once: copy it now.",
    ),
    "admin_made": ("'{name}' 키를 만들었습니다.", "The key '{name}' was made."),
    "admin_saved": ("'{name}' 키를 저장했습니다.", "The key '{name}' was saved."),
    "admin_was_revoked": (
        "'{name}' 키를 취소했습니다. 2초 안에 어디서나 거절됩니다.",
        "The key '{name}' was revoked; it is refused everywhere within two seconds.",
    ),
    "admin_changed_meanwhile": (
        "그사이 다른 관리자가 이 키를 바꾸었습니다. 아무것도 저장하지 않았습니다. "
        "아래의 새 값을 보고 다시 저장하세요.",
        "Somebody else has changed this key meanwhile. Nothing was saved: look at its new values below, "
        "then save again.",
    ),
    "admin_gone": (
        "이 키는 이미 취소되었거나 없습니다. 아무것도 바꾸지 않았습니다.",
        "This key is revoked already, or there is none. Nothing was changed.",
    ),
    "admin_bad_field": (
        "'{field}' 값이 올바르지 않습니다. 아무것도 저장하지 않았습니다.",
        "'{field}' makes no sense. Nothing was saved.",
    ),
    "admin_not_done": (
        "게이트웨이가 거절했습니다: {reason} 아무것도 바뀌지 않았습니다.",
        "The gateway refused: {reason} Nothing was changed.",
    ),
    "admin_unsure": (
        "취소하려면 확인란에 표시하세요.",
        "Tick the box to revoke the key.",
    ),
    "admin_usage": ("사용량", "Usage"),
    "admin_no_usage": ("이 기간에는 사용량이 없습니다.", "Nothing was used in this time."),
    "admin_by_key": ("키", "Key"),
    "admin_by_model": ("모델", "Model"),
    "admin_by_day": ("날짜", "Day"),
    "admin_since": ("첫날", "From"),
    "admin_requests": ("요청", "Requests"),
    "admin_prompt": ("질문 토큰", "Prompt tokens"),
    "admin_answer": ("답변 토큰", "Answer tokens"),
    "admin_tokens": ("합계", "Sum"),
}
