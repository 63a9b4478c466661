"""Who may ask the studio for what: token, host, origin, names of files, bodies."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from datagen.errors import ConfigError
from datagen.studio import Studio, open_studio
from datagen.studio.server import HEADERS, MOST_BYTES

NAME = "taxonomies/shop.yaml"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def studio(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.chdir(project)  # and back at the end
    with open_studio(project) as opened:
        thread = threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


def ask(
    studio: Studio, method: str, path: str, body: str | bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, http.client.HTTPMessage]:
    """Send a request with the token, unless the path begins with a slash; return status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", studio.server_port, timeout=60)
    connection.request(method, path if path.startswith("/") else f"/{studio.token}/{path}", body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(content) if is_json else content.decode(), answer.headers


def put(studio: Studio, name: str, **body: Any) -> tuple[int, Any, http.client.HTTPMessage]:
    return ask(studio, "PUT", f"file?name={name}", json.dumps(body), JSON)


def test_it_listens_on_loopback_alone_and_the_address_has_a_token(studio: Studio) -> None:
    assert studio.server_address[0] == "127.0.0.1"
    assert len(urlsplit(studio.address).path.strip("/")) >= 32
    assert ask(studio, "GET", "")[0] == 200


@pytest.mark.parametrize("path", ["/", "/files", "/file?name=taxonomies/shop.yaml", "/studio.js", "/{}x/files", "/{}"])
def test_without_the_token_there_is_nothing(studio: Studio, path: str) -> None:
    status, body, _ = ask(studio, "GET", path.format(studio.token))
    assert status == 404
    assert "shop" not in json.dumps(body)


def test_two_starts_have_different_tokens(studio: Studio, project: Path) -> None:
    with open_studio(project) as other:
        assert other.token != studio.token


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}", ""]
)
def test_a_name_that_was_pointed_at_this_machine_is_refused(studio: Studio, host: str) -> None:
    assert ask(studio, "GET", "files", headers={"Host": host.format(port=studio.server_port)})[0] == 421


def test_localhost_is_this_machine(studio: Studio) -> None:
    assert ask(studio, "GET", "files", headers={"Host": f"localhost:{studio.server_port}"})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_can_neither_read_nor_write(studio: Studio, project: Path, headers: dict[str, str]) -> None:
    before = (project / NAME).read_bytes()
    assert ask(studio, "GET", "files", headers=headers)[0] == 403
    body = json.dumps({"text": "x", "base": studio.files.read(NAME).version})
    assert ask(studio, "PUT", f"file?name={NAME}", body, {**JSON, **headers})[0] == 403
    assert (project / NAME).read_bytes() == before


def test_its_own_page_may_write(studio: Studio, project: Path) -> None:
    body = json.dumps({"text": "x: 1\n", "base": studio.files.read(NAME).version})
    own = {**JSON, "Origin": f"http://127.0.0.1:{studio.server_port}", "Sec-Fetch-Site": "same-origin"}
    status, said, _ = ask(studio, "PUT", f"file?name={NAME}", body, own)
    assert (status, said["version"]) == (200, studio.files.read(NAME).version)
    assert (project / NAME).read_text(encoding="utf-8") == "x: 1\n"


def test_every_answer_forbids_foreign_and_inline_scripts_and_sets_no_cookie(studio: Studio) -> None:
    for path in ("", "studio.js", "files", "nothing", "/"):
        headers = ask(studio, "GET", path)[2]
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Set-Cookie"] is None
        assert {name: headers[name] for name in HEADERS} == HEADERS


def test_the_page_has_no_inline_script_and_a_new_nonce_each_time(studio: Studio) -> None:
    pages = [ask(studio, "GET", "") for _ in range(2)]
    assert len({headers["Content-Security-Policy"] for _, _, headers in pages}) == 2
    for _, page, headers in pages:
        nonce = headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0]
        assert f'content="{nonce}"' in page
        assert page.count("<script") == page.count('<script type="module" src="studio.js"></script>') == 1


def test_a_stale_write_is_answered_with_what_the_file_holds(studio: Studio, project: Path) -> None:
    base = studio.files.read(NAME).version
    (project / NAME).write_text("theirs: <b>\n", encoding="utf-8")
    status, said, _ = put(studio, NAME, text="mine", base=base)
    assert (status, said["text"]) == (409, "theirs: <b>\n")


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "../shop/taxonomies/shop.yaml", "taxonomies/%2e%2e/secret.yaml", "%2Fetc%2Fpasswd"]
)
def test_a_file_outside_is_refused_in_every_request(studio: Studio, project: Path, name: str) -> None:
    (project / "secret.yaml").write_text("a: 1", encoding="utf-8")
    assert ask(studio, "GET", f"file?name={name}")[0] == 403
    assert put(studio, name, text="x", base="")[0] == 403
    assert ask(studio, "GET", f"faults?name={name}")[0] == 403
    assert ask(studio, "GET", f"look?name={name}&recipe=")[0] == 403
    assert ask(studio, "GET", f"look?name={NAME}&recipe={name}")[0] == 403
    body = {"name": NAME, "recipe": "../../x.yaml", "prompt": "", "turn": 0}
    assert ask(studio, "POST", "draw", json.dumps(body), JSON)[0] == 403
    assert (project / "secret.yaml").read_text(encoding="utf-8") == "a: 1"


def test_a_new_part_is_written_and_never_over_a_file_or_through_a_link(
    studio: Studio, project: Path, tmp_path: Path
) -> None:
    def create(kind: str, name: str, **headers: str) -> tuple[int, Any]:
        return ask(studio, "POST", "new", json.dumps({"kind": kind, "name": name}), {**JSON, **headers})[:2]

    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert create("taxonomy", "shop")[0] == create("recipe", "../two")[0] == create("page", "two")[0] == 422
    assert create("lexicon", "two", Origin="https://evil.example")[0] == 403
    (project / "experiments").symlink_to(tmp_path)
    (project / "templates/two").symlink_to(tmp_path)
    assert create("experiment", "two")[0] == create("taxonomy", "two")[0] == 403
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    (project / "templates/two").unlink()
    files = ["taxonomies/two.yaml", "templates/two/few.j2", "templates/two/pair.j2"]
    assert create("taxonomy", "two") == (200, {"files": files})
    assert {*files} < {*studio.files.list()}
    assert create("taxonomy", "two")[0] == 422


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("text=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ('{"text": "x"}', {"Content-Type": "text/plain"}, 415),
        ("{", JSON, 400),
        ("[]", JSON, 400),
        ('{"text": 1, "base": ""}', JSON, 400),
        ("null", JSON, 400),
        ("", {**JSON, "Content-Length": str(MOST_BYTES + 1)}, 413),
        ("", {**JSON, "Content-Length": "-1"}, 413),
        ('{"text": "\\ud800", "base": "BASE"}', JSON, 422),
    ],
)
def test_a_body_that_the_page_would_not_send_changes_nothing(
    studio: Studio, project: Path, body: str, headers: dict[str, str], status: int
) -> None:
    before = (project / NAME).read_bytes()
    body = body.replace("BASE", studio.files.read(NAME).version)
    assert ask(studio, "PUT", f"file?name={NAME}", body, headers)[0] == status
    assert (project / NAME).read_bytes() == before


def test_only_what_it_consists_of_is_served(studio: Studio) -> None:
    for path in ("server.py", "static/index.html", "../server.py", "..%2fserver.py", "__init__.py"):
        assert ask(studio, "GET", path)[0] == 404
    assert ask(studio, "DELETE", f"file?name={NAME}")[0] == 501


def test_a_taken_port_is_told(studio: Studio, project: Path) -> None:
    with pytest.raises(ConfigError, match=f"port {studio.server_port} cannot be used"):
        open_studio(project, studio.server_port)


def test_a_folder_without_a_project_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has none of the folders"):
        open_studio(tmp_path)
