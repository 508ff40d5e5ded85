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
    "sign_in_hint": (
        "{host}의 계정으로 로그인합니다.",
        "You sign in with your account at {host}.",
    ),
    "sign_in_ended": (
        "로그인이 끝났습니다. 다시 로그인하세요.",
        "You are signed out. Sign in again.",
    ),
    "signed_out_title": ("로그아웃했습니다", "Signed out"),
    "signed_out_hint": (
        "여기에서는 로그아웃했지만, {host}에는 아직 로그인되어 있을 수 있습니다.",
        "You are signed out here. At {host} you may still be signed in.",
    ),
    "sign_out_elsewhere": ("{host}에서도 로그아웃", "Sign out at {host}, too"),
    "provider_away": (
        "{host}이(가) 대답하지 않아 로그인할 수 없습니다. 잠시 뒤 다시 시도하세요.",
        "{host} does not answer, so nobody can sign in. Try again in a moment.",
    ),
    "provider_refused": (
        "{host}이(가) 로그인을 거절했습니다. 또 그러면 관리자에게 알려 주세요. 이유는 서버 로그에 있습니다.",
        "{host} refused this sign-in. If it does again, tell an administrator: the server's log says why.",
    ),
    "provider_wrong": (
        "{host}의 설정이 이 페이지와 맞지 않습니다. 관리자에게 알려 주세요. 이유는 서버 로그에 있습니다.",
        "The settings of {host} and this page do not fit. Tell an administrator: the server's log says why.",
    ),
    "sign_in_cancelled": (
        "{host}에서 로그인을 취소했거나, 계정에 허락된 로그인이 아닙니다.",
        "The sign-in at {host} was cancelled, or your account may not use it.",
    ),
    "sign_in_unknown": (
        "이 브라우저에서 시작한 로그인이 아니거나, 시작한 지 너무 오래되었습니다. 다시 시작하세요.",
        "This sign-in was not begun in this browser, or too long ago. Begin again.",
    ),
    "identity_refused": (
        "{host}의 대답을 믿을 수 없어 로그인하지 않았습니다. 다시 시도해도 같으면 관리자에게 알려 주세요.",
        "What {host} answered cannot be trusted: nobody was signed in. If it recurs, tell an administrator.",
    ),
    "not_admitted": (
        "{host}에 로그인했지만, 이 계정에는 이 페이지를 쓸 권한이 없습니다. 관리자에게 권한을 요청하세요.",
        "You are signed in at {host}, but your account may not use these pages. Ask an administrator.",
    ),
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
    "refused_title": ("페이지를 열 수 없습니다", "This page cannot be opened"),
    "refused_not_the_proxy": (
        "로그인을 맡은 주소를 거쳐야 열립니다. 그 주소로 여세요. 그래도 같으면 관리자에게 알려 주세요"
        "(webui.login_proxies).",
        "It opens at the address where people log in: use that one. If it does not help, tell an"
        " administrator (webui.login_proxies).",
    ),
    "refused_no_user_named": (
        "누가 로그인했는지 확인할 수 없습니다. 로그인을 맡은 프록시가 이름을 알맞게 전하지 않았습니다."
        " 관리자에게 알려 주세요.",
        "It is not clear who is logged in: the proxy in front of this page does not name one user as it must."
        " Tell an administrator.",
    ),
    "refused_access_ended": (
        "이 계정의 게이트웨이 키가 취소되었거나 만료되어 더 이상 쓸 수 없습니다."
        " 계속 쓰려면 관리자에게 요청하세요.",
        "This account's key of the gateway was revoked or has expired, so its access has ended. Ask an"
        " administrator if you still need it.",
    ),
    "refused_store_failed": (
        "이 페이지의 데이터베이스가 대답하지 않습니다. 잠시 뒤 다시 여세요.",
        "The database of this page does not answer. Open it again in a moment.",
    ),
}
