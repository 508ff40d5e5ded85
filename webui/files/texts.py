"""Sentences about files beside a question, Korean and English side by side, as in `webui.texts`."""

STATIC: dict[str, tuple[str, str]] = {"attach": ("파일", "File")}

MESSAGES: dict[str, tuple[str, str]] = {
    "file_empty": ("빈 파일입니다.", "The file is empty."),
    "file_large": ("5 MB보다 큰 파일은 붙일 수 없습니다.", "A file may have 5 MB at most."),
    "file_long": (
        "글이 너무 깁니다. 10만 자까지 붙일 수 있습니다.",
        "The text is too long: 100,000 characters go along with a question.",
    ),
    "file_unknown": (
        "그림(PNG, JPEG, WebP, GIF)도 글도 아닌 파일입니다.",
        "This is neither an image (PNG, JPEG, WebP, GIF) nor a text.",
    ),
    "file_svg": (
        "SVG는 붙일 수 없습니다. PNG나 JPEG로 저장해 붙이세요.",
        "SVG is not taken. Save it as PNG or JPEG.",
    ),
    "file_broken": ("그림 파일이 손상되었습니다.", "The image is damaged."),
    "file_pixels": (
        "그림이 너무 큽니다. 4천만 화소, 한 변 16,384픽셀까지 붙일 수 있습니다.",
        "The image is too large: at most 40 million pixels, and 16,384 on a side.",
    ),
    "file_no_pdf": (
        "이 서버는 PDF를 읽지 못합니다. 글을 복사해 붙여 넣으세요.",
        "This server reads no PDF. Copy the text and paste it.",
    ),
    "file_pdf": (
        "PDF를 읽지 못했습니다. 손상되었거나, 너무 크거나, 읽는 데 너무 오래 걸립니다. ({reason})",
        "The PDF could not be read: {reason}",
    ),
    "file_pdf_locked": (
        "암호가 걸린 PDF입니다. 암호를 풀어 저장한 뒤 붙이세요.",
        "This PDF is protected with a password. Save it without, then attach it.",
    ),
    "file_pdf_scanned": (
        "이 PDF에는 글이 없습니다. 쪽을 스캔한 그림이면 그림으로 붙이세요.",
        "There is no text in this PDF. If its pages are scans, attach them as images.",
    ),
    "file_gone": (
        "붙인 파일이 서버에 없습니다. 빼고 다시 붙이세요.",
        "An attached file is no longer on the server. Remove it and attach it again.",
    ),
    "files_most": ("한 질문에 파일을 4개까지 붙일 수 있습니다.", "A question takes 4 files."),
    "ask_files": (
        "파일이 아직 올라가는 중입니다. 잠시 뒤 다시 보내세요.",
        "A file is still on its way. Send the question again in a moment.",
    ),
    "ask_no_images": (
        "이 모델은 그림을 받지 않습니다. 그림을 빼거나 다른 모델을 고르세요.",
        "This model takes no images. Remove them or choose another model.",
    ),
    "ask_images_large": (
        "그림이 모두 합쳐 10 MB를 넘습니다. 몇 장을 빼고 보낸 뒤 나머지를 다음 질문에 붙이세요.",
        "The images have more than 10 MB together. Remove some, and attach them to the next question.",
    ),
    "card_images": ("그림", "Images"),
    "card_takes_images": ("받음", "yes"),
    "export_files": ("첨부", "Attached"),
}
