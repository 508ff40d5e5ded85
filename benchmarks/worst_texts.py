"""Texts that are hardest to look through: messages of refusals, and Markdown."""


def error_texts() -> dict[str, str]:
    """Messages of refusals, a million characters each."""
    return {
        "a word": "a" * 10**6,
        "words": "a " * 500_000,
        "한글": "가" * 300_000,
        "한글 낱말": "가 나 " * 60_000,
        "URLs": "http://a:b@c?key=d&" * 50_000,
        "URLs apart": "http://a:b@c?key=d " * 50_000,
        "parameters": "://" + "?key=" * 200_000,
        "of a limit": "max_tokens " + "cannot be too " * 70_000,
        "lines": "\n" * 900_000,
        "control characters": "\x1b[0m" * 200_000,
    }


def markdown_texts() -> dict[str, str]:
    """300,000 characters each of what Markdown readers find hard."""
    return {
        "ticks of all lengths": "x" + "".join("`" * n + "a" for n in reversed(range(1, 775))),
        "open tags": "<" * 300_000,
        "tags": "<a" * 150_000,
        "한글 꺾쇠": "<가" * 150_000,
        "open pictures": "![" * 150_000,
        "open fences": "```\n" * 75_000,
        "closed fences": "```\n```\n" * 37_500,
        "한글 울타리": "```\n가\n" * 50_000,
        "tildes": "~~~\n" * 75_000,
        "ticks and lines": "`a\n" * 100_000,
        "fences and ticks": "```` `a\n ````" * 25_000,
        "한글 틱": "`가`\n" * 75_000,
        "emphasis": "*a_ " * 75_000,
        "lines": "\n" * 300_000,
        "ticks before lines": "`a`" * 3_000 + "\n" * 291_000,
        "spaces": " " * 300_000,
    }
