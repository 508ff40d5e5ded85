"""Sentences of the study page, Korean and English side by side, as in `webui.texts`."""

SCRIPT = "study_script_"
"""How the keys of those begin that the page's script draws (`assets/study.js`)."""

MESSAGES: dict[str, tuple[str, str]] = {
    "nav_study": ("평가", "Study"),
    "nav_account": ("계정", "Account"),
    "study_not_admin": ("관리자만 할 수 있습니다.", "Only administrators can do this."),
    "study_not_there": ("그런 평가가 없습니다.", "There is no such study."),
    "study_bad_form": (
        "이름을 쓰고, 문항당 평가자를 1명에서 100명 사이로 정하세요.",
        "Give it a name, and 1 to 100 raters for each prompt.",
    ),
    "study_models_of_vote": (
        "투표에는 서로 다른 모델 둘을 고르세요.",
        "Choose two different models for votes.",
    ),
    "study_models_of_score": (
        "점수에는 모델을 하나에서 여섯까지 고르세요.",
        "Choose one to six models for scores.",
    ),
    "study_no_such_model": (
        "'{model}' 모델이 지금 목록에 없습니다. 새로고침한 뒤 다시 고르세요.",
        "The model '{model}' is not listed right now. Reload the page and choose again.",
    ),
    # A file of prompts
    "study_bad_file": (
        "파일을 고친 뒤 다시 올려 주세요. 아무것도 만들지 않았습니다.",
        "Correct the file and upload it again. Nothing was made.",
    ),
    "study_bad_line": ("{line}번째 줄: {reason}", "Line {line}: {reason}"),
    "study_more_bad_lines": ("그 밖에 {count}줄이 더 있습니다.", "And {count} more lines."),
    "study_row_not_text": (
        "UTF-8, UTF-16, CP949 글로 읽을 수 없는 파일입니다.",
        "This is no text in UTF-8, UTF-16 or CP949.",
    ),
    "study_row_empty": ("파일에 질문이 없습니다.", "The file holds no questions."),
    "study_row_too_many": ("질문은 5,000개까지입니다.", "There may be 5,000 prompts at most."),
    "study_row_too_many_bad": (
        "고칠 줄이 1,000개나 되어 그 뒤는 읽지 않았습니다.",
        "1,000 lines have to be corrected; what comes behind them was not read.",
    ),
    "study_row_not_json": ("JSON 객체가 아닙니다.", "This is no JSON object."),
    "study_row_not_csv": ("CSV로 읽을 수 없습니다.", "This cannot be read as CSV."),
    "study_row_cell_too_long": (
        "131,072자가 넘는 칸이 있습니다.",
        "A cell has more than 131,072 characters.",
    ),
    "study_row_no_question_column": (
        "질문 열이 없습니다. 첫 줄에 '질문'이나 'instruction' 같은 열 이름이 있어야 합니다.",
        "There is no column of questions. The first line must name one, such as 'instruction' or 'question'.",
    ),
    "study_row_too_many_cells": ("첫 줄보다 칸이 많습니다.", "It has more cells than the first line."),
    "study_row_not_words": (
        "질문, 맥락, 분류는 글이어야 합니다.",
        "Question, context and category must be text.",
    ),
    "study_row_no_question": ("질문이 비어 있습니다.", "The question is empty."),
    "study_row_twice": ("앞에 같은 질문이 있습니다.", "The same prompt stands above."),
    "study_row_too_long": (
        "질문이 너무 깁니다 (100,000자까지).",
        "The prompt is too long (100,000 characters).",
    ),
    "study_row_category_too_long": ("분류가 50자를 넘습니다.", "The category has more than 50 characters."),
    # The queue
    "study_nothing_done": (
        "모두 평가했습니다. 고맙습니다!",
        "You have judged everything. Thank you!",
    ),
    "study_nothing_closed": ("끝난 평가입니다.", "This study is closed."),
    "study_nothing_preparing": (
        "모델이 답변을 만들고 있습니다. 준비되면 바로 보여 드립니다.",
        "The models are answering. The next prompt appears as soon as it is ready.",
    ),
    "study_nothing_taken": (
        "남은 문항은 다른 평가자가 보고 있습니다. 그만두는 사람이 있으면 여기에 나타납니다.",
        "Other raters have what is left. If somebody leaves, it appears here.",
    ),
    "study_nothing_failed": (
        "남은 문항은 모델이 답하지 못했습니다. 관리자에게 알려 주세요.",
        "The models could not answer what is left. Tell an administrator.",
    ),
    "study_refused_closed": (
        "그사이 평가가 끝나 이 판단은 세지 않았습니다.",
        "The study was closed meanwhile: this judgement does not count.",
    ),
    "study_refused_taken": (
        "자리를 비운 사이 다른 평가자들이 이 문항을 마쳤습니다. 다음 문항으로 넘어갑니다.",
        "While you were away others have finished this prompt. Here is the next one.",
    ),
    "study_refused_unfit": (
        "이 평가에 맞는 판단이 아닙니다. 새로고침해 주세요.",
        "This does not fit the study. Reload the page.",
    ),
    # Drawn by the page's script
    "study_script_title": ("평가", "Studies"),
    "study_script_none": ("진행 중인 평가가 없습니다.", "There are no studies right now."),
    "study_script_intro": (
        "답변을 읽고 키보드로 판단합니다. 판단할 때마다 저장되고, 언제든 그만둘 수 있습니다.",
        "Read answers and judge them by keys. Each judgement is saved at once; you can stop at any time.",
    ),
    "study_script_vote": ("투표", "Votes"),
    "study_script_score": ("점수 1–5", "Scores 1–5"),
    "study_script_blind": ("블라인드", "blind"),
    "study_script_closed": ("끝남", "closed"),
    "study_script_facts": (
        "문항 {prompts}개 · 문항당 {raters}명",
        "{prompts} prompts · {raters} raters each",
    ),
    "study_script_begin": ("평가하기", "Judge"),
    "study_script_go_on": ("이어서 평가하기", "Go on judging"),
    "study_script_mine": ("나 {n}/{of}", "me {n}/{of}"),
    "study_script_all": ("모두 {n}/{of}", "all {n}/{of}"),
    "study_script_all_mine": ("모두 평가했습니다.", "You have judged everything."),
    "study_script_back_to_list": ("목록", "List"),
    "study_script_leave": ("그만두기", "Leave"),
    "study_script_context": ("맥락", "Context"),
    "study_script_question": ("질문", "Question"),
    "study_script_answer": ("답변 {name}", "Answer {name}"),
    "study_script_left": ("A가 나음", "A is better"),
    "study_script_right": ("B가 나음", "B is better"),
    "study_script_tie": ("비슷함", "Tie"),
    "study_script_both_bad": ("둘 다 나쁨", "Both bad"),
    "study_script_confirm": ("확인하고 다음", "Confirm, next"),
    "study_script_undo": ("바로 앞 판단 고치기", "Correct my last one"),
    "study_script_corrects": (
        "바로 앞 판단을 고칩니다. 확인하기 전까지는 앞의 판단이 그대로 남습니다.",
        "You are correcting your last judgement. It stays as it was until you confirm.",
    ),
    "study_script_keys": (
        "← A  → B  ↓ 비슷함  ↑ 둘 다 나쁨  Enter 확인  Backspace 앞 판단 고치기  Space 아래로",
        "← A  → B  ↓ tie  ↑ both bad  Enter confirms  Backspace corrects the last  Space scrolls",
    ),
    "study_script_score_keys": (
        "1–5 점수  ← → 답변 고르기  Enter 확인  Backspace 앞 판단 고치기  Space 아래로",
        "1–5 score  ← → choose the answer  Enter confirms  Backspace corrects the last  Space scrolls",
    ),
    "study_script_scale": ("1 쓸모없음 – 5 완벽함", "1 useless – 5 perfect"),
    "study_script_saving": ("저장하는 중…", "Saving…"),
    "study_script_saved": ("저장했습니다.", "Saved."),
    "study_script_away": (
        "웹 UI가 응답하지 않습니다. 판단은 이 화면에 있고, 다시 연결되면 저장합니다.",
        "The web UI does not respond. Your judgement is kept here and saved as soon as it is back.",
    ),
    "study_script_again": ("다시 시도", "Try again"),
    "study_script_new": ("새 평가", "New study"),
    "study_script_name": ("이름", "Name"),
    "study_script_file": ("질문 파일 (CSV, JSONL)", "Prompts (CSV, JSONL)"),
    "study_script_file_hint": (
        "첫 줄에 질문, 맥락, 분류 (instruction, context, category). 엑셀의 CP949도 읽습니다. 5,000개까지.",
        "Columns instruction, context, category (or 질문, 맥락, 분류), in UTF-8 or CP949. At most 5,000.",
    ),
    "study_script_kind": ("판단 방법", "How to judge"),
    "study_script_kind_vote": ("둘 중 나은 답변 고르기", "Which of two answers is better"),
    "study_script_kind_score": ("답변마다 1–5점", "1 to 5 for each answer"),
    "study_script_models": ("모델", "Models"),
    "study_script_no_models": ("대답할 모델이 없습니다.", "There is no model that could answer."),
    "study_script_raters": ("문항당 평가자", "Raters for each prompt"),
    "study_script_hide": ("모델 이름 가리기 (블라인드)", "Hide the models' names (blind)"),
    "study_script_make": ("평가 만들기", "Make the study"),
    "study_script_cost": (
        "답변은 이 페이지의 키로 미리 만들어 둡니다.",
        "Answers are fetched ahead, with this page's key.",
    ),
    "study_script_report": ("결과와 관리", "Results and management"),
    "study_script_answers": ("답변 {ready}/{total} 준비됨", "{ready} of {total} answers ready"),
    "study_script_failed": ("{count}개는 만들지 못함", "{count} failed"),
    "study_script_fetch_again": ("실패한 답변 다시 만들기", "Fetch the failed answers again"),
    "study_script_agreement": ("일치도 (Krippendorff α)", "Agreement (Krippendorff's α)"),
    "study_script_agreement_none": ("아직 모름", "not known yet"),
    "study_script_time": ("문항당 시간 (중앙값)", "Time for one prompt (median)"),
    "study_script_idle": ("가만히 있는 시간은 60초까지만 셉니다.", "Of idle time only 60 s count."),
    "study_script_seconds": ("{s}초", "{s} s"),
    "study_script_rater": ("평가자", "Rater"),
    "study_script_judged": ("판단", "Judged"),
    "study_script_median": ("시간", "Time"),
    "study_script_model": ("모델", "Model"),
    "study_script_wins": ("이김", "Wins"),
    "study_script_mean": ("평균 점수", "Mean score"),
    "study_script_ties": ("비슷함 {ties} · 둘 다 나쁨 {bad}", "{ties} ties · {bad} both bad"),
    "study_script_unsent": (
        "게이트웨이에 아직 보내지 못한 판단 {count}개. 저절로 다시 보냅니다.",
        "{count} judgements have not reached the gateway yet. They are sent again by themselves.",
    ),
    "study_script_in_results": ("결과 페이지에서 보기", "Show on the results page"),
    "study_script_close": ("평가 끝내기", "Close the study"),
    "study_script_reopen": ("다시 열기", "Open it again"),
}
