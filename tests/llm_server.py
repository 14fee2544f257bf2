"""A server with OpenAI's chat completions interface that answers right, or misbehaves in one way.

``python tests/llm_server.py LOG BEHAVIOUR`` prints its port. Every request is a line of LOG: time, path, headers, body.
It "translates" by putting ``pt:`` before a text, and "shortens" by leaving out the word "really".
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Entries = list[dict[str, Any]]


def right(lines: Entries) -> Entries:
    return [
        {
            "id": line["id"],
            "text": f"pt: {line['text']}",
            "shorter": f"pt: {line['text'].replace(' really', '')}" if " really" in line["text"] else "",
        }
        for line in lines
    ]


def shifted(lines: Entries) -> Entries:
    return [{**entry, "id": entry["id"] + 1} for entry in right(lines)]


def merged(lines: Entries) -> Entries:
    first, *rest = right(lines)
    if not rest:
        return [first]
    return [{**first, "text": f"{first['text']} {rest[0]['text']}"}, *rest[1:]]


def doubled(lines: Entries) -> Entries:
    return [*right(lines), *right(lines)[:1]] if len(lines) > 1 else right(lines)


def emptied(lines: Entries) -> Entries:
    return [{**entry, "text": " " if "nothing" in entry["text"] else entry["text"]} for entry in right(lines)]


def strangely_typed(lines: Entries) -> Entries:
    return [{**entry, "id": str(entry["id"])} for entry in right(lines)]


def mistranslated(lines: Entries) -> Entries:
    return [{**entry, "text": "pt: algo", "shorter": "pt"} for entry in right(lines)]


def returned(lines: Entries) -> Entries:
    return [{**line, "shorter": ""} for line in lines]


def control_signs(lines: Entries) -> Entries:
    return [{**entry, "text": f"{entry['text']}\n\x07 mi\u200ckham", "shorter": ""} for entry in right(lines)]


LINES: dict[str, Callable[[Entries], Entries]] = {
    each.__name__: each
    for each in (right, shifted, merged, doubled, emptied, strangely_typed, mistranslated, returned, control_signs)
}


def completion(content: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour = "right"
    log = Path()
    requests = 0

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        said = {"time": time.monotonic(), "path": self.path, "headers": dict(self.headers), "body": json.loads(body)}
        with Handler.log.open("a") as log:
            log.write(json.dumps(said) + "\n")
        Handler.requests += 1
        asked = json.loads(said["body"]["messages"][1]["content"])["lines"]
        number, text = Handler.requests, " ".join(line["text"] for line in asked)
        plain = json.dumps({"lines": right(asked)}, ensure_ascii=False)
        match Handler.behaviour:
            case "truncated_once":
                self.say(200, completion(plain[: len(plain) // 2] if number == 1 else plain))
            case "cut_off" if len(asked) > 1:
                self.say(200, completion(plain, finish="length"))
            case "fenced":
                self.say(200, completion(f"```json\n{plain}\n```"))
            case "prose":
                self.say(200, completion("Sure! Here is your translation: bom dia."))
            case "refusal" if "forbidden" in text:
                self.say(200, completion(None, refusal="I can't help with that."))
            case "content_filter" if "forbidden" in text:
                self.say(400, {"error": {"message": "filtered", "code": "content_filter"}})
            case "no_choices":
                self.say(200, {"object": "chat.completion", "choices": []})
            case "heeds_when_told" if "casarão" in said["body"]["messages"][-1]["content"] and number > 1:
                self.say(200, completion(plain.replace("house", "casarão")))
            case "html":
                self.say(200, "<html>login</html>", kind="text/html")
            case "busy_once" if number == 1:
                self.say(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"})
            case "busy_for_an_hour":
                self.say(429, {"error": {"message": "slow down"}}, {"Retry-After": "3600"})
            case "busy":
                self.say(429, {"error": {"message": "slow down"}}, {"Retry-After": "0"})
            case "no_quota":
                self.say(429, {"error": {"message": "pay", "code": "insufficient_quota"}})
            case "failing_once" if number == 1:
                self.say(503, {"error": {"message": "loading"}}, {"Retry-After": "0"})
            case "slow_batches" if len(asked) > 1:
                time.sleep(3)
            case "slow_line" if "forbidden" in text:
                time.sleep(3)
            case "slow":
                time.sleep(3)
            case "disconnects_once" if number == 1:
                self.connection.close()
            case "breaks_off_once" if number == 1:
                self.send_response(200)
                self.send_header("Content-Length", "5000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
                self.wfile.flush()
                self.connection.close()
            case "disconnects":
                self.connection.close()
            case "unauthorised":
                self.say(401, {"error": {"message": f"wrong key {self.headers.get('Authorization')}"}})
            case "no_such_model":
                self.say(404, {"error": {"message": f"no model; key {self.headers.get('Authorization')}"}})
            case "short_context" if len(body) > 3000:
                self.say(400, {"error": {"message": "context too long"}})
            case "no_schema":
                self.say(400, {"error": {"message": "response_format is not supported"}})
            case "redirects":
                self.say(307, {}, {"Location": "http://127.0.0.1:9/v1/chat/completions"})
            case other:
                said_lines = LINES.get(other, right)(asked)
                self.say(200, completion(json.dumps({"lines": said_lines}, ensure_ascii=False)))
        self.close_connection = True

    def say(
        self, status: int, body: Any, headers: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    Handler.log, Handler.behaviour = Path(sys.argv[1]), sys.argv[2]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
