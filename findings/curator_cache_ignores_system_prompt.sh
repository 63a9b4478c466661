#!/usr/bin/env bash
# bespokelabs-curator 0.1.31: another `system_prompt` gives the answers to the old one, from the cache.
#
# Guess: what is sent to the model decides whether a stored answer is used, so a changed system prompt is asked anew.
# Seen: a second run whose only change is the system prompt returns the answer that the first system prompt got. The row
# is not sent again; the one request that reaches the server then is the client's look at its rate limits.
# Who meets it: whoever tunes a system prompt over the same rows: every version seems to make no difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bespokelabs-curator==0.1.31 litellm==1.83.7 \
  openai==2.30.0 datasets==3.6.0 2>/dev/null
# The tokenizer's table comes with litellm; without this it would be downloaded.
TIKTOKEN_CACHE_DIR=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/litellm/litellm_core_utils/tokenizers
export TIKTOKEN_CACHE_DIR CURATOR_CACHE_DIR="$folder/cache" HF_HOME="$folder/hf"
export TELEMETRY_ENABLED=0 LITELLM_LOCAL_MODEL_COST_MAP=True HF_HUB_OFFLINE=1 OPENAI_API_KEY=none
cat >"$folder/run.py" <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bespokelabs import curator
from datasets import Dataset


class Echo(BaseHTTPRequestHandler):
    """Answers with the system prompt that it was given."""

    asked = 0

    def do_POST(self):
        Echo.asked += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = " ".join(m["content"] for m in body["messages"] if m["role"] == "system")
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        kind = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"]}
        answer = json.dumps({**kind, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Asker(curator.LLM):
    def prompt(self, row):
        return row["question"]

    def parse(self, row, response):
        return {"answer": response}


server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
how = {
    "base_url": f"http://127.0.0.1:{server.server_port}/v1",
    "max_requests_per_minute": 1000,
    "max_tokens_per_minute": 100_000,
}
rows = Dataset.from_list([{"question": "Hello"}])


def ask(system_prompt):
    before = Echo.asked
    asker = Asker(model_name="m", backend="openai", system_prompt=system_prompt, backend_params=how)
    made = asker(rows)
    return list(getattr(made, "dataset", made))[0]["answer"], Echo.asked - before


first, second = ask("Answer in French."), ask("Answer in German.")
print("RESULT first", first, "second", second)
assert first[0] == "Answer in French." and first[1] > 0, first
assert second[0] == "Answer in French." and second[1] < first[1], second
PY
"$folder/venv/bin/python" "$folder/run.py" 2>&1 | tee "$folder/out" | grep RESULT
! grep -q Traceback "$folder/out"
