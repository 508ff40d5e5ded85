"""What can be wrong with a row: stable names, as reports, rejects files and `--allow` use them."""

MENDED = {
    "line_ends": "Carriage returns and Unicode line separators became line feeds.",
    "control_characters": "Control characters were taken out.",
    "zero_width": "Invisible characters (zero-width, direction marks, Hangul fillers) were taken out.",
    "odd_spaces": "No-break and typographic spaces became spaces.",
    "nfc": "Decomposed Hangul (as macOS writes it) was composed: Unicode NFC.",
    "answer_start": "The place of an extractive row's answer in its context was put right.",
    "outer_blanks": "Blanks before and after a text were taken off.",
    "placeholder_context": "A context that says there is none (입력 없음, N/A) became empty.",
    "personal_rrn": "A resident registration number became [주민등록번호].",
    "personal_card": "A card number became [카드번호].",
    "personal_account": "A bank account number became [계좌번호].",
    "personal_phone": "A telephone number became [전화번호].",
    "personal_email": "An e-mail address became [이메일].",
}
"""Mended in place; the row stays."""

REJECTED = {
    "not_utf8": "The line is not UTF-8 text.",
    "not_json": "The line is not valid JSON.",
    "schema": "Not a Dolly row: a field is missing, unknown or of the wrong type, or the history's roles.",
    "category": "The category is none of databricks-dolly-15k's eight.",
    "empty": "Question or answer is blank.",
    "broken_encoding": "Characters were lost in a wrong decoding (�, 占쏙옙, mojibake).",
    "too_short": "The question has fewer than two letters, or the answer says nothing.",
    "broken_fence": "A ``` code fence is opened and never closed.",
    "truncated": "The answer ends in the middle of a sentence.",
    "repeats": "One text says the same again and again.",
    "digit_run": "A digit nine times in a row, or more than thirty digits.",
    "prompt_marker": "A prompt template's marks (### Instruction:, <|im_start|>, USER:) stand in the text.",
    "html": "HTML tags or entities stand in text that is not about HTML.",
    "identity": "The answer claims to be ChatGPT, OpenAI's or an AI language model.",
    "refusal": "The answer refuses or says that it cannot.",
    "hangul_ratio": "Hardly any Hangul in a text that is neither code nor translation.",
    "answer_not_in_context": "The answer of an extractive row (KorQuAD) is not in its context.",
    "licence": "The licence does not allow commercial use, or is not known (with --commercial).",
    "evaluation_overlap": "The row contains an item of an evaluation set (with --against).",
    "duplicate": "The same question, context and answer stood in an earlier row.",
    "near_duplicate": "Nearly the same question, context and answer as an earlier row.",
}
"""Dropped into the rejects file; in this order, the first that holds is the row's reason."""
