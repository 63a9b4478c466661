#!/usr/bin/env bash
# openai 3.52.0 (Python): a long `Retry-After` means no retry at all, whatever `max_retries` says.
#
# Guess: a client with max_retries=5 waits as long as the server asks, or for its own longest pause, and asks again.
# Seen: up to 120 s it waits as told. Above that (here 121 s, and an HTTP date an hour away) the first 429 is raised at
# once: one request reaches the server, none of the five retries is used. A server without the header is asked six times.
# Who meets it: whoever leaves rate limits to the client. A hosted server that says "come back in five minutes" fails
# every request that is open, within milliseconds, while a server that says nothing is asked patiently.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.52.0 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai


class Busy(BaseHTTPRequestHandler):
    asked = 0
    retry_after: str | None = None

    def do_POST(self):
        Busy.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error": {"message": "busy"}}'
        self.send_response(429)
        self.send_header("Content-Length", str(len(body)))
        if Busy.retry_after is not None:
            self.send_header("Retry-After", Busy.retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(retry_after, retries):
    Busy.asked, Busy.retry_after = 0, retry_after
    client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=retries)
    begin = time.monotonic()
    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    except openai.RateLimitError:
        return Busy.asked, time.monotonic() - begin
    raise SystemExit("no error was raised")


hour = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
short, waited = ask("2", 1)
seconds, _ = ask("121", 5)
date, _ = ask(hour, 5)
silent, _ = ask(None, 5)
print(f"openai {openai.__version__}: requests with 5 retries: 121 s {seconds}, date {date}, no header {silent}")
print(f"2 s, one retry: {short} requests, waited {waited:.1f} s")
assert short == 2 and waited >= 2
assert (seconds, date, silent) == (1, 1, 6)
PY
