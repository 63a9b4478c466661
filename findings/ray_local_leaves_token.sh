#!/usr/bin/env bash
# Ray 2.60.0: a script that ran a Ray of its own once makes every later `ray start --head` of that user ask for tokens.
#
# Guess: `ray.init("local")` leaves nothing behind, and a cluster that is started on the command line is as it was before.
# Seen: the local run writes ~/.ray/auth_token. From then on `ray start --head` finds it and turns token authentication on
# by itself (it says so); before, it warns that it is off. A driver that joins by address without RAY_AUTH_MODE=token, in
# the same home with the same file, fails after 20 seconds with a ConnectionError that does not speak of tokens; with it,
# the same line joins.
# Who meets it: whoever tries a script on the head node before starting the cluster there, and every worker or driver whose
# environment does not say RAY_AUTH_MODE.
set -euo pipefail
folder=$(mktemp -d)
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[default]==2.60.0" 2>/dev/null
export HOME="$folder/home"
mkdir "$HOME"
unset RAY_AUTH_MODE RAY_ADDRESS
python="$folder/venv/bin/python"
port=$((20000 + RANDOM % 10000))
trap 'pkill -9 -f "$folder" || true; rm -rf "$folder"' EXIT

start() {
    "$python" -m ray.scripts.scripts start --head --port="$1" --include-dashboard=false --disable-usage-stats \
        --temp-dir="$folder/$1" 2>&1 | grep -o "Token authentication is [a-z]* for this Ray cluster"
}

join() {
    "$python" -c "
import ray
try:
    ray.init('127.0.0.1:$1', logging_level='CRITICAL', log_to_driver=False)
    print('joined')
except ConnectionError as error:
    print('ConnectionError:', str(error).split(' at ')[0])
" 2>/dev/null
}

first=$(start "$port")
echo "before: $first; $(join "$port")"
[[ $first == *disabled* ]]
pkill -9 -f "$folder"
[[ -z $(ls -A "$HOME") ]]
"$python" -c "import ray; ray.init('local', include_dashboard=False, logging_level='CRITICAL')" >/dev/null 2>&1
(cd "$HOME" && find . -type f)
[[ -s $HOME/.ray/auth_token ]]
second=$(start "$((port + 1))")
without=$(join "$((port + 1))")
with=$(RAY_AUTH_MODE=token join "$((port + 1))")
echo "after: $second; without RAY_AUTH_MODE: $without; with it: $with"
[[ $second == *enabled* && $without == ConnectionError* && $with == joined ]]
