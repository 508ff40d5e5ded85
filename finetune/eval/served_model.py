"""A model that is asked through an OpenAI-compatible URL."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx2

from common.errors import UserError
from finetune.eval.models import GeneratedAnswer, Messages

ATTEMPTS = 5
LONGEST_WAIT_S = 30.0
PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Status codes after which the same request may succeed."""
READ_LIMIT_S = 600.0

T = TypeVar("T")
Q = TypeVar("Q")


class TooLong(Exception):
    """The prompt is longer than the model's context."""


class ServedModel:
    """The model `name` at `url` (with or without /v1) as an EvalModel, asked with `concurrency` requests at
    once."""

    source = "served"

    def __init__(self, url: str, name: str, key: str = "", concurrency: int = 8) -> None:
        self.name = name
        self.url = api_root(url)
        self._concurrency = concurrency
        self._renamed: dict[str, str] = {}
        self._refused: set[str] = set()
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(10.0, read=READ_LIMIT_S, pool=None),
            limits=httpx2.Limits(max_connections=concurrency),
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check(self) -> None:
        """Raises UserError when the server lists its models and this one is not among them."""
        listed = self._listed()
        ids = [str(model["id"]) for model in listed or ()]
        if listed is not None and self.name not in ids:
            raise UserError(f"{self.url} has no model {self.name!r}.", hint=f"It has: {', '.join(ids)}.")

    def entry(self) -> dict[str, object]:
        """The model's entry in the server's list of models; {} where it has none. Raises UserError."""
        return next((model for model in self._listed() or () if model["id"] == self.name), {})

    def _listed(self) -> list[dict[str, object]] | None:
        """The entries of GET /v1/models; None where the server does not offer the route. Raises UserError."""
        try:
            answer = self._http.get(f"{self.url}/models").raise_for_status().json()
            return [model for model in answer["data"] if model["id"]]
        except httpx2.HTTPStatusError as error:
            if error.response.status_code in (401, 403):
                raise UserError(
                    f"{self.url} refuses the API key.", hint="Put the right one into KODOLLY_API_KEY."
                ) from error
            return None
        except httpx2.HTTPError as error:
            raise UserError(f"Nothing answers at {self.url}.", hint="Is the server running?") from error
        except (ValueError, KeyError, TypeError):
            return None

    def answers(
        self, conversations: Sequence[Messages], max_tokens: int, temperature: float = 0.0
    ) -> Iterator[GeneratedAnswer]:
        """See EvalModel."""
        return self._in_order(lambda asked: self._answer(asked, max_tokens, temperature), conversations)

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> Iterator[list[float] | None]:
        """See EvalModel. The server must offer completions with `echo` and `logprobs`, as vLLM does."""
        return self._in_order(self._logprobs, sequences)

    def chat(self, messages: Messages, max_tokens: int, temperature: float = 0.0) -> dict[str, Any]:
        """The first choice of a chat completion. Raises UserError, TooLong."""
        choice: dict[str, Any] = self.complete(messages, max_tokens, temperature)["choices"][0]
        return choice

    def complete(
        self, messages: Messages, max_tokens: int, temperature: float = 0.0, **settings: object
    ) -> dict[str, Any]:
        """A chat completion, with at least one choice. Raises UserError, TooLong."""
        body = {
            "model": self.name,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": temperature,
            **settings,
        }
        return self._post("chat/completions", self._in_its_terms(body))

    def _in_its_terms(self, body: dict[str, object]) -> dict[str, object]:
        """The body as this model takes it: some want `max_completion_tokens`, or take no temperature
        (_learn)."""
        return {self._renamed.get(name, name): body[name] for name in body if name not in self._refused}

    def _learn(self, message: str, body: dict[str, object]) -> bool:
        """Whether a refusal names a setting that can be sent otherwise; if so, `body` is changed, and so are
        all later requests."""
        if "max_completion_tokens" in message and "max_tokens" in body:
            self._renamed["max_tokens"] = "max_completion_tokens"
            body["max_completion_tokens"] = body.pop("max_tokens")
        elif "'temperature'" in message and "temperature" in body:
            self._refused.add("temperature")
            del body["temperature"]
        else:
            return False
        return True

    def _answer(self, messages: Messages, max_tokens: int, temperature: float) -> GeneratedAnswer:
        try:
            choice = self.chat(messages, max_tokens, temperature)
        except TooLong:
            return GeneratedAnswer("", finished=False, fits=False)
        return GeneratedAnswer(choice["message"].get("content") or "", choice.get("finish_reason") == "stop")

    def _logprobs(self, ids: Sequence[int]) -> list[float] | None:
        body = {
            "model": self.name,
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        try:
            choice = self._post("completions", body)["choices"][0]
        except TooLong:
            return None
        found = (choice.get("logprobs") or {}).get("token_logprobs")
        if not found or len(found) < len(ids):
            raise UserError(
                f"{self.url} gives no log likelihoods of a prompt (`echo` with `logprobs`).",
                hint="vLLM does; evaluate the checkpoint directory otherwise.",
            )
        return [float(value) for value in found[1 : len(ids)]]

    def _in_order(self, ask: Callable[[Q], T], questions: Sequence[Q]) -> Iterator[T]:
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="eval")
        try:
            yield from pool.map(ask, questions)
        finally:
            pool.shutdown(cancel_futures=True)

    def _post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = self._http.post(f"{self.url}/{path}", json=body)
            except httpx2.HTTPError as error:
                if last:
                    raise UserError(f"{self.url} does not answer ({type(error).__name__}).") from error
                time.sleep(min(LONGEST_WAIT_S, 0.5 * 2**attempt))
                continue
            if answer.status_code == 200:
                return self._checked(answer)
            message = _error_message(answer)
            if answer.status_code == 400 and _is_too_long(message):
                raise TooLong(message)
            if answer.status_code == 400 and self._learn(message, body) and not last:
                continue
            if answer.status_code not in PASSING or last:
                raise UserError(f"{self.url} answered {answer.status_code}: {message}")
            time.sleep(_wait_s(answer, attempt))
        raise AssertionError("the last attempt returns or raises")

    def _checked(self, answer: httpx2.Response) -> dict[str, Any]:
        try:
            body: dict[str, Any] = answer.json()
            body["choices"][0]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"{self.url} does not speak OpenAI's protocol: no choices in its answer."
            ) from error
        return body


def api_root(url: str) -> str:
    """`url` with /v1 at its end, added where it is missing."""
    root = url.rstrip("/")
    return root if root.endswith("/v1") else f"{root}/v1"


def _wait_s(answer: httpx2.Response, attempt: int) -> float:
    try:
        asked = float(answer.headers.get("retry-after", ""))
    except ValueError:
        asked = 0.5 * 2**attempt
    return min(LONGEST_WAIT_S, max(0.0, asked))


def _error_message(answer: httpx2.Response) -> str:
    try:
        error = json.loads(answer.content)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def _is_too_long(message: str) -> bool:
    """Whether an error message says that the prompt exceeds the context. vLLM writes "maximum context length
    is" or "maximum model length of", OpenAI context_length_exceeded."""
    lowered = message.lower()
    return any(
        words in lowered for words in ("context length", "context_length", "model length", "max_model_len")
    )
