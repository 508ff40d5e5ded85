"""Sentences of the documents page, Korean and English side by side, as in `webui.texts`."""

PAGE: dict[str, tuple[str, str]] = {
    "title": ("문서", "Documents"),
    "intro": (
        "문서를 올리고 물어보세요. 답변의 번호를 누르면 근거가 된 쪽이 열립니다.",
        "Upload papers and ask. A number in an answer opens the page that it rests on.",
    ),
    "stores": ("문서함", "Collections"),
    "store_name": ("문서함 이름", "Name of the collection"),
    "make": ("만들기", "Create"),
    "rename": ("이름 바꾸기", "Rename"),
    "delete": ("삭제", "Delete"),
    "share": ("이 페이지의 모든 사람에게 보이기", "Visible to everyone on this page"),
    "save": ("저장", "Save"),
    "close": ("닫기", "Close"),
    "sure_store": (
        "‘{name}’ 문서함과 그 안의 문서를 모두 삭제할까요?",
        "Delete the collection “{name}” and all papers in it?",
    ),
    "sure_file": ("‘{name}’ 문서를 삭제할까요?", "Delete “{name}”?"),
    "no_stores": (
        "아직 문서함이 없습니다. 이름을 적고 만드세요.",
        "There is no collection yet. Give one a name and create it.",
    ),
    "no_files": ("아직 문서가 없습니다.", "There is no paper yet."),
    "files_count": ("문서 {count}개", "{count} papers"),
    "read_only": (
        "다른 곳에서 만든 문서함입니다. 읽고 물어볼 수만 있습니다.",
        "Made elsewhere: you can read it and ask, not change it.",
    ),
    "upload": ("문서 올리기", "Upload papers"),
    "upload_hint": (
        "PDF, HWPX, HWP, DOCX, PPTX, XLSX, HTML, Markdown, TXT · OCR을 켜면 PNG, JPEG · 끌어 놓아도 됩니다",
        "PDF, HWPX, HWP, DOCX, PPTX, XLSX, HTML, Markdown, TXT · with OCR also PNG, JPEG · or drop them here",
    ),
    "uploading": ("올리는 중 {percent}%", "Uploading {percent}%"),
    "reading": ("읽는 중…", "Reading…"),
    "ready": ("준비됨", "Ready"),
    "failed": ("읽지 못함", "Could not be read"),
    "model": ("모델", "Model"),
    "no_model": ("지금 답할 수 있는 모델이 없습니다.", "No model can answer right now."),
    "question": ("질문", "Question"),
    "question_hint": ("이 문서함에 물어보세요", "Ask this collection"),
    "ask": ("물어보기", "Ask"),
    "answering": ("답변을 만드는 중…", "Answering…"),
    "empty_answer": ("모델이 빈 답변을 냈습니다.", "The model's answer is empty."),
    "cite_label": ("근거 {number}: {name}", "Source {number}: {name}"),
    "page": ("{page}쪽 / {pages}쪽", "Page {page} of {pages}"),
    "previous": ("이전 쪽", "Previous page"),
    "next": ("다음 쪽", "Next page"),
    "unsupported": (
        "이 자료에서 이 문장을 확인하지 못했습니다.",
        "The source does not clearly say this sentence.",
    ),
    "recognised": (
        "이 쪽의 글은 그림에서 읽어 낸 것입니다(확신 {confidence}%). 틀린 글자가 있을 수 있습니다",
        "The text of this page was recognised in a picture (confidence {confidence}%): it may have mistakes",
    ),
    "doubtful": (
        "이 쪽의 글은 온전하지 않을 수 있습니다: {problem}",
        "The text of this page may not be whole: {problem}",
    ),
    "offline": ("연결이 끊겼습니다. 다시 시도하세요.", "The connection broke. Please try again."),
}
"""Of the page's script, which takes the language of the page."""

MESSAGES: dict[str, tuple[str, str]] = {
    "documents_not_yours": (
        "이 문서함이 없거나, 이 브라우저에서 바꿀 수 없습니다.",
        "There is no such collection, or this browser may not change it.",
    ),
    "fail_no_documents": ("문서 서비스가 켜져 있지 않습니다.", "The documents service is not running."),
    "do_no_documents": (
        "`kodolly up`에 documents 추가 구성 요소를 설치하거나 `kodolly documents serve`를 켜세요.",
        "Install the extra `documents` for `kodolly up`, or start `kodolly documents serve`.",
    ),
}
