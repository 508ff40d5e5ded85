"""Sentences of the login page, Korean and English side by side, as in `webui.texts`."""

MESSAGES: dict[str, tuple[str, str]] = {
    "login_title": ("로그인", "Sign in"),
    "login_key": ("게이트웨이 키", "Gateway key"),
    "login_hint": (
        "관리자에게 받은 키(sk-kodolly-…)입니다. 사용량과 한도는 이 키를 따릅니다.",
        "The key that an administrator gave you (sk-kodolly-…). Usage and limits are those of this key.",
    ),
    "login_button": ("로그인", "Sign in"),
    "logout_button": ("로그아웃", "Sign out"),
    "login_back": ("돌아가기", "Back"),
    "account_title": ("계정", "Account"),
    "role_admin": ("관리자", "Administrator"),
    "role_rater": ("평가자", "Rater"),
    "role_member": ("사용자", "Member"),
    "login_ended": (
        "로그인이 끝났습니다. 기간이 지났거나, 키가 만료 또는 취소되었습니다. 다시 로그인하세요.",
        "You are signed out: time has run out, or the key has expired or was revoked. Sign in again.",
    ),
    "login_key_refused": (
        "게이트웨이가 이 키를 받지 않습니다. 철자가 다르거나, 만료 또는 취소된 키입니다.",
        "The gateway does not take this key: it is misspelt, has expired or was revoked.",
    ),
    "login_no_keys": (
        "이 게이트웨이에는 아직 키가 없습니다. 관리자가 `kodolly keys create`로 먼저 만들어야 합니다.",
        "This gateway has no keys yet. An administrator makes the first with `kodolly keys create`.",
    ),
    "login_gateway_away": (
        "게이트웨이가 대답하지 않아 키를 확인할 수 없습니다. 잠시 뒤 다시 시도하세요.",
        "The gateway does not answer, so the key cannot be checked. Try again in a moment.",
    ),
    "login_too_often": (
        "로그인에 너무 자주 실패했습니다. {seconds}초 뒤에 다시 시도하세요.",
        "Too many failed attempts. Try again in {seconds} s.",
    ),
    "login_store_failed": (
        "로그인을 저장할 곳이 대답하지 않습니다. 잠시 뒤 다시 시도하세요.",
        "The place where logins are kept does not answer. Try again in a moment.",
    ),
}
