"""Every sentence of the page, Korean and English side by side.

`STATIC` texts are part of the page and chosen by the browser (gr.I18n); `MESSAGES` are made while serving
and chosen by the request's Accept-Language. Both follow one rule: the first of Korean and English that the
browser asks for; a browser that asks for neither gets English, one that says nothing gets Korean.
"""

from typing import Literal

from webui import document_texts, screen_texts, side_texts
from webui.admin import texts as admin_texts
from webui.files import texts as file_texts
from webui.login import texts as login_texts
from webui.opinions import texts as opinion_texts
from webui.sharing import texts as sharing_texts
from webui.study import texts as study_texts

Lang = Literal["ko", "en"]

STATIC: dict[str, tuple[str, str]] = {
    **screen_texts.STATIC,
    **file_texts.STATIC,
    **side_texts.STATIC,
    # Compare
    "system": ("시스템 프롬프트", "System prompt"),
    "system_hint": ("비워 두면 보내지 않습니다", "Left out when empty"),
    "preset": ("저장한 설정", "Saved settings"),
    "preset_name": ("설정 이름", "Name of the settings"),
    "preset_hint": ("예: 짧게, 존댓말", "e.g. short and formal"),
    "preset_shared": ("다른 사람도 쓰기", "Others may use it"),
    "preset_save": ("설정 저장", "Save settings"),
    "preset_delete": ("설정 삭제", "Delete settings"),
    "temperature": ("온도 (temperature)", "Temperature"),
    "top_p": ("top-p", "top-p"),
    "max_tokens": ("최대 답변 토큰", "Most answer tokens"),
    "question": ("질문", "Question"),
    "question_hint": ("모델들에게 같은 질문을 보내세요", "Ask all models the same question"),
    "chat_hint": ("메시지를 입력하세요", "Write a message"),
    "context": ("문맥", "Context"),
    "context_add": ("문맥 붙이기", "Add a context"),
    "context_hint": (
        "질문이 다루는 글을 붙여 넣으세요. 다음 질문 하나와 함께 갑니다.",
        "Paste the text that the question is about. It goes along with the next question.",
    ),
    "examples": ("예시 질문", "Example questions (in Korean)"),
    "send": ("보내기", "Send"),
    "stop": ("중지", "Stop"),
    "retry": ("다시 시도", "Try again"),
    "older": ("← 이전 답변", "← Older answer"),
    "newer": ("다음 답변 →", "Newer answer →"),
    "proceed": ("이어서 쓰기", "Go on"),
    "undo": ("되돌리기", "Undo"),
    "show_prompt": ("프롬프트 보기", "Show prompt"),
    "blind": ("블라인드 (이름 가리기)", "Blind (hide names)"),
    "clear": ("새 비교", "New comparison"),
    "pane_add": ("모델 추가", "Add a model"),
    "pane_remove": ("모델 빼기", "Remove a model"),
    "markdown": ("Markdown 저장", "Save Markdown"),
    "json": ("JSON 저장", "Save JSON"),
    "csv": ("CSV 저장", "Save CSV"),
    "png": ("그림 저장", "Save picture"),
    "vote_left": ("← 왼쪽이 나음", "← Left is better"),
    "vote_tie": ("비슷함", "Tie"),
    "vote_both_bad": ("둘 다 나쁨", "Both bad"),
    "vote_right": ("오른쪽이 나음 →", "Right is better →"),
    "tag_factual_error": ("사실 오류", "Wrong facts"),
    "tag_tone": ("말투", "Tone"),
    "tag_verbose": ("장황함", "Verbose"),
    "tag_repetition": ("반복", "Repetition"),
    "tag_incomplete": ("미완성", "Incomplete"),
    "tag_mixed_language": ("언어 섞임", "Mixed languages"),
    # Chat
    "model": ("모델", "Model"),
    "settings": ("설정", "Settings"),
    "new_chat": ("새 대화", "New chat"),
    "delete_chat": ("삭제", "Delete"),
    "restore": ("삭제 취소", "Undo delete"),
    "search": ("대화 찾기", "Search"),
    "search_hint": ("제목이나 질문의 낱말", "Words of a title or question"),
    "title": ("제목", "Title"),
    "share": ("공유", "Share"),
    "share_again": ("지금까지 다시 공유", "Share as it is now"),
    "share_end": ("공유 끝내기", "Stop sharing"),
    "pin": ("위에 고정", "Pin"),
    "comparisons": ("지난 비교", "Past comparisons"),
    "folder": ("폴더", "Folder"),
    "folder_new": ("폴더 만들기", "New folder"),
    "folder_name": ("폴더 이름", "Name of the folder"),
    "folder_hint": ("예: 회의록, 여행", "e.g. Minutes, Travel"),
    "folder_make": ("만들기", "Make"),
    # Models
    "snippet_model": ("코드에 넣을 모델", "Model for the snippets"),
    "curl": ("curl", "curl"),
    "python": ("Python (openai)", "Python (openai)"),
}

MESSAGES: dict[str, tuple[str, str]] = {
    **screen_texts.MESSAGES,
    **side_texts.MESSAGES,
    **document_texts.MESSAGES,
    **login_texts.MESSAGES,
    **opinion_texts.MESSAGES,
    **file_texts.MESSAGES,
    **admin_texts.MESSAGES,
    **sharing_texts.MESSAGES,
    **study_texts.MESSAGES,
    # States of a model
    "state_ready": ("준비됨", "ready"),
    "state_external": ("외부 서비스", "external"),
    "state_key_refused": ("API 키를 거절함", "refuses the API key"),
    "state_loading": ("불러오는 중 {percent}%", "loading {percent}%"),
    "state_draining": ("종료하는 중", "shutting down"),
    "state_down": ("응답 없음", "down"),
    "state_down_seen": ("응답 없음 (마지막 신호 {seconds}초 전)", "down (last heard {seconds} s ago)"),
    "state_unknown": ("상태를 알 수 없음", "state unknown"),
    "state_gone": ("목록에 없음", "not listed"),
    "state_none": ("모델을 고르세요", "choose a model"),
    "state_busy": ("처리 {running} · 대기 {waiting}", "{running} running · {waiting} waiting"),
    "names_hidden": ("이름 가림 · 투표하면 공개됩니다", "Name hidden until you vote"),
    # Banners
    "gateway_unreachable": (
        "게이트웨이에 연결할 수 없습니다. `kodolly gateway`가 켜져 있는지 확인하세요. "
        "다시 연결되면 이 줄은 사라집니다.",
        "The gateway cannot be reached. Check that `kodolly gateway` runs. This line goes away by itself.",
    ),
    "conversations_kept": (
        "이 서버는 질문과 답변을 보관합니다. 개인 정보나 비밀은 쓰지 마세요.",
        "This server keeps questions and answers. Write nothing personal or secret.",
    ),
    "gateway_connecting": ("게이트웨이에 연결하는 중입니다…", "Connecting to the gateway…"),
    "gateway_key_refused": (
        "게이트웨이가 이 페이지의 키를 거절했습니다. `KODOLLY_API_KEY`를 바로잡고 웹 UI를 다시 시작하세요.",
        "The gateway refuses this page's key. Correct `KODOLLY_API_KEY` and restart the web UI.",
    ),
    "no_models": (
        "아직 모델이 없습니다. `kodolly worker`로 체크포인트를 띄우면 여기에 나타납니다.",
        "There is no model yet. Serve a checkpoint with `kodolly worker` and it appears here.",
    ),
    "hint_key_openai": (
        "ChatGPT를 비교하려면 `.env`에 `{key_env}`를 넣고 다시 시작하세요.",
        "To compare with ChatGPT, put `{key_env}` into `.env` and restart.",
    ),
    "hint_key": (
        "{name} 모델도 비교하려면 `.env`에 `{key_env}`를 넣고 다시 시작하세요.",
        "To compare with {name}, put `{key_env}` into `.env` and restart.",
    ),
    # Below an answer
    "waiting": ("첫 글자를 기다리는 중 · {seconds}초", "Waiting for the first text · {seconds} s"),
    "ttft": ("첫 글자 {value}", "first text {value}"),
    "ttft_reasoning": ("첫 생각 {value}", "first reasoning {value}"),
    "thought": ("생각한 과정", "Reasoning"),
    "only_reasoning": (
        "(생각만 하다가 토큰 한도에 닿았습니다. 설정에서 최대 답변 토큰을 늘려 보세요.)",
        "(The token limit ended it while it was still reasoning. Allow more answer tokens in the settings.)",
    ),
    "conversation": ("대화", "Conversation"),
    "rate": ("{value} 토큰/초", "{value} tokens/s"),
    "tokens": ("{value} 토큰", "{value} tokens"),
    "finish_stop": ("완료", "finished"),
    "finish_length": ("길이 제한으로 끊김", "cut by the length limit"),
    "finish_content_filter": ("내용 필터로 끊김", "cut by a content filter"),
    "finish_other": ("종료 이유 {reason}", "finish reason {reason}"),
    "answering": ("답변하는 중", "answering"),
    "stopped": ("중지함", "stopped"),
    "no_text": ("(빈 답변)", "(empty answer)"),
    "failed": ("답변을 받지 못했습니다", "no answer"),
    "failed_half": ("답변이 중간에 끊겼습니다", "the answer broke off"),
    "request_id": ("요청 번호", "Request id"),
    "detail": ("자세히", "Detail"),
    # Feedback
    "blind_next": (
        "이름은 다음 ‘새 비교’부터 가려집니다.",
        "Names are hidden from the next new comparison on.",
    ),
    "vote_ask": ("어느 답변이 더 나은가요?", "Which answer is better?"),
    "vote_wait": (
        "답변이 모두 끝나면 투표할 수 있습니다.",
        "You can vote when all answers have finished.",
    ),
    "vote_off": (
        "끝까지 오지 않은 답변이 있어 이번 질문은 투표할 수 없습니다.",
        "One answer is not complete, so this question has no vote.",
    ),
    "vote_saved": (
        "투표를 저장했습니다: {choice} ({names}). 다른 단추를 누르면 고쳐집니다.",
        "Vote saved: {choice} ({names}). Another button corrects it.",
    ),
    "choice_left": ("왼쪽이 나음", "left is better"),
    "choice_tie": ("비슷함", "tie"),
    "choice_both_bad": ("둘 다 나쁨", "both bad"),
    "choice_right": ("오른쪽이 나음", "right is better"),
    "rating_needs_score": (
        "고른 항목을 기억했습니다. 점수를 고르면 평가로 저장됩니다.",
        "Your ticks are kept. They are stored as a rating once you choose a score.",
    ),
    "rating_saved": ("점수 {score}점을 저장했습니다.", "Score {score} saved."),
    "not_saved": ("저장하지 못했습니다. {headline} {advice}", "Not saved. {headline} {advice}"),
    "ask_model": ("모델을 모두 먼저 고르세요.", "Choose a model on every side first."),
    "ask_one_model": ("모델을 먼저 고르세요.", "Choose a model first."),
    "ask_question": ("질문을 입력하세요.", "Write a question first."),
    "ask_shorter": (
        "질문이 너무 깁니다. 100,000자까지 보낼 수 있습니다.",
        "The question is too long; at most 100,000 characters can be sent.",
    ),
    "context_shorter": (
        "문맥이 너무 깁니다. 100,000자까지 보낼 수 있습니다.",
        "The context is too long; at most 100,000 characters can be sent.",
    ),
    "edit_gone": (
        "고치려던 질문이 이 대화에 더 없습니다.",
        "The question that was edited is no longer in this conversation.",
    ),
    "edit_question": ("질문 고쳐 묻기", "Edit the question"),
    "edit_send": ("다시 묻기", "Ask again"),
    "edit_cancel": ("취소", "Cancel"),
    "edit_hint": (
        "여기서 갈라진 새 대화로 묻습니다. 지금 대화는 그대로 남습니다.",
        "It is asked in a new conversation that branches off here. This one stays as it is.",
    ),
    "ask_wait": ("앞 답변이 아직 끝나지 않았습니다.", "The last answer has not finished yet."),
    "ask_wait_all": ("답변이 모두 끝난 다음 보내세요.", "Send when all answers have finished."),
    "nothing_to_save": ("저장할 대화가 없습니다.", "There is nothing to save yet."),
    "store_failed": (
        "대화를 저장하거나 불러오지 못했습니다. 화면의 내용은 그대로 있습니다. "
        "디스크나 데이터베이스를 확인하고 다시 시도하세요.",
        "Conversations could not be saved or loaded. What is on the screen stays. "
        "Check the disk or the database, and try again.",
    ),
    "no_cookie": (
        "이 브라우저가 쿠키를 막고 있어 대화를 보관할 수 없습니다. "
        "이 사이트의 쿠키를 허용하고 새로고침하세요.",
        "This browser blocks cookies, so no conversation can be kept. Allow them for this site and reload.",
    ),
    "share_note": (
        "이 주소로 지금까지의 대화를 읽을 수 있습니다. 뒤에 나눈 대화는 다시 공유해야 보입니다.",
        "The conversation so far can be read there. What comes later is seen once it is shared again.",
    ),
    "history": ("지난 대화", "History"),
    "folder_none": ("폴더 없음", "In no folder"),
    "folder_empty": ("비어 있음", "Empty"),
    "folder_rename": ("이름 바꾸기", "Rename"),
    "folder_rename_of": ("‘{name}’ 폴더 이름 바꾸기", "Rename the folder “{name}”"),
    "folder_delete": ("폴더 삭제", "Delete the folder"),
    "folder_delete_of": ("‘{name}’ 폴더 삭제", "Delete the folder “{name}”"),
    "folder_deleted": (
        "‘{name}’ 폴더를 지웠습니다. 대화는 남아 있습니다.",
        "The folder “{name}” was deleted; its chats stay.",
    ),
    "folder_taken": ("그 이름의 폴더가 이미 있습니다.", "There is a folder with that name already."),
    "folder_gone": ("이 폴더는 지워졌습니다.", "That folder was deleted."),
    "folder_needs_name": ("폴더 이름을 먼저 쓰세요.", "Give the folder a name first."),
    "deleted": ("‘{title}’ 대화를 지웠습니다.", "“{title}” was deleted."),
    "preset_saved": ("‘{name}’ 설정을 저장했습니다.", "The settings “{name}” are saved."),
    "preset_needs_name": ("설정 이름을 먼저 쓰세요.", "Give the settings a name first."),
    "preset_gone": ("이 설정은 지워졌습니다.", "These settings were deleted."),
    "preset_deleted": (
        "설정을 지웠습니다. 값은 그대로 있어, ‘설정 저장’을 누르면 되살아납니다.",
        "Deleted. The values are still here: “Save settings” brings it back.",
    ),
    "preset_not_yours": (
        "내가 저장한 설정만 지울 수 있습니다. 목록에서 먼저 고르세요.",
        "Only settings of your own can be deleted. Choose one from the list first.",
    ),
    "preset_of_others": ("{name} · 다른 사람", "{name} · somebody else's"),
    "preset_is_shared": ("{name} · 공유 중", "{name} · shared"),
    "prompt_tokens": ("{tokens} 토큰 · {model}", "{tokens} tokens · {model}"),
    "prompt_empty": ("질문을 입력하거나 보낸 다음 누르세요.", "Write or send a question first."),
    # Failures: what happened, and what the reader can do
    "fail_gateway_down": ("게이트웨이에 연결하지 못했습니다.", "The gateway could not be reached."),
    "do_gateway_down": (
        "`kodolly gateway`가 켜져 있는지 확인하고 다시 시도하세요.",
        "Check that `kodolly gateway` runs and try again.",
    ),
    "fail_gateway_key": (
        "게이트웨이가 이 페이지의 키를 거절했습니다.",
        "The gateway refused this page's key.",
    ),
    "do_gateway_key": (
        "`KODOLLY_API_KEY`를 바로잡고 웹 UI를 다시 시작하세요.",
        "Correct `KODOLLY_API_KEY` and restart the web UI.",
    ),
    "fail_changed_meanwhile": (
        "그사이 다른 사람이 바꾸었습니다.",
        "Somebody else has changed this meanwhile.",
    ),
    "do_changed_meanwhile": ("새 값을 보고 다시 저장하세요.", "Look at its new values, then save again."),
    "fail_login_ended": (
        "로그인한 키가 더는 통하지 않습니다.",
        "The key that you signed in with is no longer valid.",
    ),
    "do_login_ended": (
        "페이지를 새로 고쳐 다른 키로 로그인하세요.",
        "Load the page again and sign in with another key.",
    ),
    "fail_provider_key": ("외부 서비스가 API 키를 거절했습니다.", "The provider refused the API key."),
    "do_provider_key": (
        "`.env`에 넣은 서비스 키(예: `OPENAI_API_KEY`)가 맞는지 확인하고 다시 시작하세요.",
        "Check the provider's key in `.env` (such as `OPENAI_API_KEY`) and restart.",
    ),
    "fail_model_not_found": ("게이트웨이에 이 모델이 없습니다.", "The gateway has no such model."),
    "do_model_not_found": ("목록에서 다른 모델을 고르세요.", "Choose another model from the list."),
    "fail_no_such_address": ("게이트웨이가 이 기능을 모릅니다.", "The gateway does not know this function."),
    "do_no_such_address": (
        "웹 UI와 버전이 같은 kodolly 게이트웨이를 `webui.gateway_url`에 적었는지 확인하세요.",
        "Check that `webui.gateway_url` names a gateway of kodolly, of the version of this page.",
    ),
    "fail_not_ready": ("모델이 아직 준비되지 않았습니다.", "The model is not ready."),
    "do_not_ready": (
        "위의 상태 표시가 ‘준비됨’이 되면 다시 시도하세요.",
        "Try again when its state above says ready.",
    ),
    "fail_upstream_failed": ("모델 서버가 답변하지 못했습니다.", "The model's server failed to answer."),
    "do_upstream_failed": (
        "잠시 뒤에 다시 시도하거나 다른 모델을 고르세요. 워커는 스스로 다시 시작합니다.",
        "Try again in a moment or choose another model. Workers restart by themselves.",
    ),
    "fail_upstream_failed_external": (
        "외부 서비스가 답변하지 못했습니다.",
        "The provider failed to answer.",
    ),
    "do_upstream_failed_external": (
        "잠시 뒤에 다시 시도하거나 다른 모델을 고르세요.",
        "Try again in a moment or choose another model.",
    ),
    "fail_broke_off_external": (
        "외부 서비스가 답변을 중간에 끊었습니다.",
        "The provider broke the answer off.",
    ),
    "do_broke_off_external": (
        "여기까지는 답변의 일부입니다. 잠시 뒤에 다시 시도하세요.",
        "This is only a part of the answer. Try again in a moment.",
    ),
    "fail_broke_off": (
        "답변하던 모델 서버가 중간에 멈췄습니다.",
        "The model's server stopped in the middle of the answer.",
    ),
    "do_broke_off": (
        "여기까지는 답변의 일부입니다. 잠시 뒤에 다시 시도하세요. 워커는 스스로 다시 시작합니다.",
        "This is only a part of the answer. Try again in a moment. Workers restart by themselves.",
    ),
    "fail_timeout": ("제한 시간 안에 답변이 오지 않았습니다.", "No answer came within the time limit."),
    "do_timeout": (
        "다시 시도하거나 최대 답변 토큰을 줄여 보세요.",
        "Try again, or allow fewer answer tokens.",
    ),
    "fail_rate_limited": (
        "짧은 시간에 요청이 너무 많았습니다.",
        "There were too many requests in a short time.",
    ),
    "do_rate_limited": ("잠시 뒤에 다시 시도하세요.", "Try again in a moment."),
    "fail_quota_spent": ("이 키의 사용 한도를 다 썼습니다.", "This key's budget is used up."),
    "do_quota_spent": (
        "기다려도 풀리지 않습니다. 관리자에게 한도를 늘려 달라고 하세요.",
        "Waiting does not help. Ask an administrator for a larger budget.",
    ),
    "fail_quota_spent_external": (
        "외부 서비스 계정의 잔액이나 한도를 다 썼습니다.",
        "The provider's account has no money or quota left.",
    ),
    "do_quota_spent_external": (
        "기다려도 풀리지 않습니다. 서비스의 결제 화면에서 잔액과 한도를 확인하세요.",
        "Waiting does not help. Check balance and limits on the provider's billing page.",
    ),
    "fail_overloaded": ("지금은 대기열이 가득 찼습니다.", "The queue is full right now."),
    "do_overloaded": ("잠시 뒤에 다시 시도하세요.", "Try again in a moment."),
    "fail_context_too_long": (
        "대화가 모델의 문맥 길이를 넘었습니다.",
        "The conversation is longer than the model's context.",
    ),
    "do_context_too_long": (
        "새로 시작하거나 최대 답변 토큰을 줄이세요.",
        "Start anew, or allow fewer answer tokens.",
    ),
    "fail_refused": ("모델이 이 요청을 받지 않았습니다.", "The model does not accept this request."),
    "do_refused": (
        "‘설정’의 값을 확인하고 다시 시도하세요.",
        "Check the values under settings and try again.",
    ),
    "fail_cut_off": (
        "답변이 끝나기 전에 연결이 끊겼습니다.",
        "The connection broke before the answer ended.",
    ),
    "do_cut_off": (
        "여기까지는 답변의 일부입니다. 다시 시도하세요.",
        "This is only a part of the answer. Try again.",
    ),
    "fail_prompt_unavailable": (
        "이 모델의 최종 프롬프트는 볼 수 없습니다.",
        "This model's final prompt cannot be shown.",
    ),
    "do_prompt_unavailable": (
        "외부 서비스는 프롬프트를 어떻게 만드는지 공개하지 않습니다.",
        "Its provider does not reveal how the prompt is made.",
    ),
    "fail_other": ("예상하지 못한 오류가 났습니다.", "Something unexpected went wrong."),
    "do_other": ("요청 번호로 게이트웨이 로그를 확인하세요.", "Look up the request id in the gateway's log."),
    "do_retry_after": ("약 {seconds}초 뒤에 다시 시도하세요.", "Try again in about {seconds} s."),
    # Models page
    "card_base": ("바탕 모델", "Base"),
    "card_method": ("학습 방법", "Method"),
    "card_licence": ("라이선스", "Licence"),
    "card_template": ("템플릿", "Template"),
    "card_context": ("문맥 길이", "Context"),
    "card_dtype": ("자료형", "Data type"),
    "card_parameters": ("매개변수", "Parameters"),
    "card_workers": ("워커", "Workers"),
    "card_provider": ("제공자", "Provider"),
    "card_tokens": ("{value} 토큰", "{value} tokens"),
    # Export
    "export_title": ("모델 비교", "Model comparison"),
    "export_question": ("질문", "Question"),
    "export_context": ("문맥", "Context"),
    "export_hidden": ("이름 가림", "name hidden"),
    "export_settings": ("설정", "Settings"),
    "export_system": ("시스템 프롬프트", "System prompt"),
    "export_vote": ("투표", "Vote"),
    "export_rating": ("점수", "Score"),
}


def language(accept_language: str | None) -> Lang:
    """The page's language for an Accept-Language header."""
    if not accept_language:
        return "ko"
    wishes: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            weight = 0.0
        wishes.append((-weight, place, tag.split("-")[0].lower()))
    for _, _, tag in sorted(wishes):
        if tag == "ko":
            return "ko"
        if tag == "en":
            return "en"
    return "en"


def text(lang: Lang, key: str, **values: object) -> str:
    """One sentence in `lang` with its placeholders filled."""
    pair = MESSAGES.get(key) or STATIC[key]
    return pair[0 if lang == "ko" else 1].format(**values)
