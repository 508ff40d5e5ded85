"""DeepL as a teacher for translations (https://developers.deepl.com/api-reference/translate)."""

import html
import json
import re
import time

import httpx2
import msgspec

from common.errors import UserError
from finetune.eval.models import Messages

PAID, FREE = "https://api.deepl.com", "https://api-free.deepl.com"
ATTEMPTS = 5
_MARK = re.compile(r"⟦\s*(\d+)\s*⟧")
_TAG = re.compile(r"<x>\s*(\d+)\s*</x>")


class _Translation(msgspec.Struct):
    text: str


class _Answer(msgspec.Struct):
    translations: list[_Translation]


class DeepL:
    """A TeacherModel that translates the values of a JSON object into Korean."""

    name = "deepl"

    def __init__(self, key: str, url: str | None = None) -> None:
        """url: by default that of the service to which the key belongs; the free service's keys end with
        `:fx`."""
        self.url = url or (FREE if key.endswith(":fx") else PAID)
        self._http = httpx2.Client(
            headers={"authorization": f"DeepL-Auth-Key {key}"}, timeout=60.0, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def complete(
        self, messages: Messages, max_tokens: int, temperature: float, **settings: object
    ) -> dict[str, object]:
        """The JSON object in the last message, translated, in the form of a chat completion. Raises
        UserError."""
        given: dict[str, str] = json.loads(str(messages[-1]["content"]))
        body = {
            "text": [_MARK.sub(r"<x>\1</x>", html.escape(text, quote=False)) for text in given.values()],
            "target_lang": "KO",
            "tag_handling": "xml",
            "ignore_tags": ["x"],
            "preserve_formatting": True,
        }
        found = self._post(body).translations
        texts = [html.unescape(_TAG.sub(r"⟦\1⟧", one.text)) for one in found]
        said = json.dumps(dict(zip(given, texts, strict=True)), ensure_ascii=False)
        return {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}

    def _post(self, body: dict[str, object]) -> _Answer:
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = self._http.post(f"{self.url}/v2/translate", json=body)
            except httpx2.HTTPError as error:
                if last:
                    raise UserError(f"{self.url} does not answer ({type(error).__name__}).") from error
            else:
                if answer.status_code == 200:
                    return msgspec.json.decode(answer.content, type=_Answer)
                if answer.status_code not in (429, 500, 503, 529) or last:
                    raise _refused(answer.status_code)
            time.sleep(0.5 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _refused(status: int) -> UserError:
    if status == 403:
        return UserError("DeepL refuses the key.", hint="Put the right one into DEEPL_API_KEY.")
    if status == 456:
        return UserError("DeepL's quota is used up.", hint="Go on later: what was translated is kept.")
    return UserError(f"DeepL answered {status}.")
