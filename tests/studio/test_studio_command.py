"""`datagen studio` as a person starts and ends it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from tests.helpers.runs import command, environment
from tests.helpers.studio import Served


def test_ctrl_c_ends_it_as_it_ends_every_command(served: Served) -> None:
    code, said = served.end()
    assert code == 130
    assert "Traceback" not in said
    assert "stopped" in said


def test_ctrl_c_while_samples_are_drawn_ends_it_as_well(served: Served) -> None:
    body = {"name": "taxonomies/shop.yaml", "recipe": "recipes/shop.yaml", "prompt": "", "turn": 0}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{served.address}draw", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert b'"asked"' in next(line for line in answer if line.strip())
        code, said = served.end()
    assert code == 130, said
    assert "Traceback" not in said


def test_a_taken_port_is_one_message(served: Served, project: Path) -> None:
    port = urlsplit(served.address).port
    again = command("studio", str(project), "--port", port)
    done = subprocess.run(again, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
