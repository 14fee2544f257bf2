"""A server with OpenAI's chat completions interface, asked through the ``openai`` package.

The key is read from the environment here and goes into one header; it is in no setting, report, log or message. Of the
client's own headers only what HTTP needs is sent: nothing says which machine, system or account asks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx2
import openai

from stages.errors import InputError, MissingEngineError, PassingError
from stages.translate.config import LlmConfig
from stages.translate.llm_protocol import BadReplyError, schema

KEY_VARIABLE = "DUBWRIGHT_LLM_KEY"
_CONNECT_S = 10
_FIRST_WAIT_S = 0.5
_SENT_HEADERS = {
    "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host", "user-agent",
}  # fmt: skip
_FORMATS: dict[str, Callable[[Sequence[int]], dict[str, Any]]] = {
    "json_schema": lambda ids: {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "translation", "strict": True, "schema": schema(ids)},
        }
    },
    "json_object": lambda ids: {"response_format": {"type": "json_object"}},
    "text": lambda ids: {},
}
_MOST_QUOTED = 200


class TooSlowError(Exception):
    """No answer within the time limit."""


class RefusedRequestError(Exception):
    """The server does not take a request as it is; a shorter one it may."""


def check_server(config: LlmConfig) -> None:
    """Check the settings of the server, and the key's form; nothing is sent.

    Raises:
        InputError: the address is none, or has a name, password or query in it; or the key cannot be one.
        MissingEngineError: no address or no model is set.
    """
    for key, value, example in (
        ("base_url", config.base_url, "http://127.0.0.1:8080/v1"),
        ("model", config.model, "NAME"),
    ):
        if not value:
            raise MissingEngineError(
                f"translate.engine llm needs translate.llm.{key}. Set it: "
                f"export DUBWRIGHT_TRANSLATE__LLM__{key.upper()}={example}"
            )
    shown = "translate.llm.base_url"
    try:
        address = urlsplit(config.base_url or "")
        is_address = address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise InputError(f"{shown} is no http or https address; write one such as http://127.0.0.1:8080/v1.")
    if address.username or address.password or address.query or address.fragment:
        raise InputError(f"{shown} holds more than an address; a key belongs into the environment: {KEY_VARIABLE}.")
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and all(sign.isprintable() and sign != " " for sign in key)):
        raise InputError(f"{KEY_VARIABLE} holds signs that no key has (spaces, line breaks or letters beyond ASCII).")


class Server:
    """One server, model and key."""

    def __init__(self, config: LlmConfig) -> None:
        check_server(config)
        self._config = config
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        self.has_answered = False
        """Whether it has ever taken a request."""
        self._client = openai.OpenAI(
            base_url=config.base_url,
            api_key=self._key or "none",  # the package insists on one; without a key the header is taken out again
            timeout=openai.Timeout(config.time_limit_s, connect=min(_CONNECT_S, config.time_limit_s)),
            max_retries=0,  # it would also send again what was too slow
            http_client=httpx2.Client(event_hooks={"request": [self._bared]}, follow_redirects=False),
        )

    def _bared(self, request: httpx2.Request) -> None:
        for name in list(request.headers):
            if name.lower() not in _SENT_HEADERS or (name.lower() == "authorization" and not self._key):
                del request.headers[name]
        request.headers["User-Agent"] = "dubwright"

    def ask(self, messages: Sequence[dict[str, str]], ids: Sequence[int], attempt: int) -> str:
        """Return what the model answers.

        Args:
            messages: of the request.
            ids: of the lines in it.
            attempt: 0 at first; each has a seed of its own.

        Raises:
            BadReplyError: an empty, refused or broken-off answer.
            RefusedRequestError: the server does not take the request.
            TooSlowError: no answer within the time limit.
            MissingEngineError: the server is not there, refuses the key, knows no such model, or is still busy after
                all retries.
        """
        config = self._config
        wanted: dict[str, Any] = {
            "temperature": config.temperature,
            "seed": None if config.seed is None else config.seed + attempt,
            "max_tokens": config.max_tokens,
        }
        request = {
            "model": config.model,
            "messages": list(messages),
            **{name: value for name, value in wanted.items() if value is not None},
            **_FORMATS[config.reply](ids),
        }
        reply = self._sent(request)
        self.has_answered = True
        return _content(reply)

    def _sent(self, request: dict[str, Any]) -> Any:
        """Send a request, again after a pause where that may help."""
        for number in range(self._config.retries + 1):
            try:
                return self._client.chat.completions.create(**request)
            except openai.APITimeoutError:
                raise TooSlowError(f"no answer within {self._config.time_limit_s:g} s") from None
            except openai.APIConnectionError as error:
                problem, after_s = f"does not answer ({_cause(error)})", None
                if isinstance(error.__cause__, httpx2.ConnectError) and not self.has_answered:
                    self.fail(f"{problem}; start it, or choose another with translate.llm.base_url")
            except openai.APIStatusError as error:
                self._judge(error)
                problem, after_s = f"is busy or failing (HTTP {error.status_code})", _retry_after_s(error.response)
            wait_s = _FIRST_WAIT_S * 2**number if after_s is None else after_s
            if number == self._config.retries:
                break
            if after_s is not None and after_s > self._config.longest_wait_s:
                self.fail(
                    f"asks to wait {after_s:.0f} s (HTTP 429 or 503), more than translate.llm.longest_wait_s",
                    PassingError,
                )
            time.sleep(min(wait_s, self._config.longest_wait_s))
        self.fail(f"{problem}, also after {self._config.retries} retries", PassingError)

    def _judge(self, error: openai.APIStatusError) -> None:
        """Raise what an HTTP status means, unless the request may simply be sent again."""
        status, said = error.status_code, self._quoted(error)
        if status in (401, 403):
            have = "refuses the key in" if self._key else "asks for a key; set"
            self.fail(f"{have} {KEY_VARIABLE} (HTTP {status})")
        if error.code in ("content_filter", "content_policy_violation"):
            raise BadReplyError("the server's content filter refused it")
        if status == 404:
            self.fail(f"has no such address or no model {self._config.model!r} (HTTP 404{said})")
        if error.code == "insufficient_quota" or not (status in (408, 409, 429) or status >= 500):
            if status in (400, 413, 422):
                raise RefusedRequestError(f"does not take the request (HTTP {status}{said})")
            self.fail(f"does not take the request (HTTP {status}{said})")

    def fail(self, problem: str, kind: type[MissingEngineError] = MissingEngineError) -> NoReturn:
        """Raise what is wrong with the server; as PassingError where another try later may help."""
        address = urlsplit(self._config.base_url or "")
        raise kind(
            f"translate.llm: the server at {address.hostname}{f':{address.port}' if address.port else ''} {problem}. "
            "Finished stages are kept."
        ) from None

    def _quoted(self, error: openai.APIStatusError) -> str:
        """Return what the server said, as one short line without the key."""
        body = error.body if isinstance(error.body, dict) else {}
        said = " ".join(str(body.get("message") or "").split())
        if self._key:
            said = said.replace(self._key, "***")
        return f": {said[:_MOST_QUOTED]}" if said else ""


def _content(reply: Any) -> str:
    """Return the text of a completion; a server may send anything."""
    choices = getattr(reply, "choices", None)
    choice = choices[0] if choices else None
    message = getattr(choice, "message", None)
    if choice is None or message is None:
        raise BadReplyError("the answer is no chat completion")
    if getattr(message, "refusal", None) or choice.finish_reason == "content_filter":
        raise BadReplyError("the model refused")
    if choice.finish_reason == "length":
        raise BadReplyError("the answer was broken off at the model's limit")
    if not isinstance(message.content, str) or not message.content.strip():
        raise BadReplyError("the answer is empty")
    return message.content


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Return the pause that a ``Retry-After`` header asks for, in seconds or as a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _cause(error: BaseException) -> str:
    return type(error.__cause__ or error).__name__
