#!/usr/bin/env bash
# pyarrow 26.0.1 with moto 5.2.5: an object of a few bytes is written to S3 in three requests, one after the other.
#
# Guess: one PUT, as s3fs makes for a file below its block size and boto3 for any small body.
# Seen: `open_output_stream` begins an upload of several parts at once (POST ?uploads), sends the only part (PUT
# ?partNumber=1) and completes it (POST ?uploadId): three round trips, of which stores charge each as a write. With
# `allow_delayed_open=True`, which is off, it is one PUT up to 5 MB.
# Who meets it: whoever writes many small files to a bucket, such as a shard's metadata, logs or parts, at 100 to 200 ms a
# request: three times the time and the bill, and a third of the writes a second that a prefix allows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 "moto[server]==5.2.5" 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
import re

import pyarrow.fs as fs
from moto.server import ThreadedMotoServer

asked = []


class Lines(logging.Handler):
    def emit(self, record):
        line = re.search(r'"(\w+) (\S+) HTTP', record.getMessage())
        if line:
            asked.append((line[1], line[2]))


log = logging.getLogger("werkzeug")
log.setLevel(logging.INFO)
log.addHandler(Lines())
server = ThreadedMotoServer(port=0)
server.start()
host, port = server.get_host_and_port()
for delayed in (False, True):
    given = {"allow_delayed_open": True} if delayed else {}
    store = fs.S3FileSystem(
        access_key="a", secret_key="b", region="us-east-1", scheme="http", endpoint_override=f"{host}:{port}",
        allow_bucket_creation=True, **given,
    )
    store.create_dir("bucket", recursive=True)
    asked.clear()
    with store.open_output_stream("bucket/small.txt") as file:
        file.write(b"three")
    writes = [(method, re.sub(r"uploadId=[^&]+", "uploadId=…", path)) for method, path in asked if method in ("PUT", "POST")]
    print(f"allow_delayed_open={delayed}:", *writes, sep="\n    ")
    assert len(writes) == (1 if delayed else 3), writes
    with store.open_input_file("bucket/small.txt") as file:
        assert file.read() == b"three"
server.stop()
PY
