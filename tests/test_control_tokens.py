"""Control tokens and tags for media: refused where people write them, where prompts are made, and at export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from datagen.cli import app
from datagen.control_tokens import LAYOUT, MEDIA_TAGS, TOKENS, find_tag, find_token
from datagen.errors import ConfigError, RunError
from datagen.export import ViewPlan, ViewResult, export_view
from datagen.pipeline import open_run
from datagen.prompts.keeps import judge_rewrite
from datagen.prompts.templated import PromptStats, plan_prompts
from datagen.records import Claim
from datagen.taxonomy import load_lexicon, load_taxonomy, resolve_lexicon
from datagen.taxonomy.check import check_paths
from tests.helpers.runs import build_here, small_recipe

FROM_TOKENIZERS = {
    "Qwen2.5-VL": (
        "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
        "<|quad_start|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> <tool_call> </think>"
    ),
    "Llama 3": "<|begin_of_text|> <|eot_id|> <|start_header_id|> <|reserved_special_token_12|> <|image|>",
    "DeepSeek": "<｜begin▁of▁sentence｜> <｜User｜> <｜end▁of▁sentence｜>",
    "Janus": "<image_placeholder> <begin_of_image> <end_of_image> <|User|> <|Assistant|>",
    "Emu3": "<|extra_200|>",
    "Gemma 3": "<bos> <eos> <pad> <start_of_turn> <end_of_turn> <start_of_image> <unused12>",
    "Mistral": "<s> </s> <unk> [INST] [/INST] [IMG]",
    "T5": "<extra_id_0> </s>",
    "Show-o": "<|soi|> <|eoi|> <|t2i|>",
}
"""Added and special tokens as the tokenizer files of these models list them."""
PLAIN = [
    *(
        "a < b and b > c",
        "3 <b>bold</b> words",
        "a|b|c",
        "<3",
        "left/right",
        "[1]",
        "[INSTANT]",
        "<hello>",
        "1 <| 2 |> 3",
    ),
    *("x <= 2 || y >= 3", "«|»", "an image of a pad", "THE END", "a <sunny> day", "e-mail <a@b.c>"),
]


@pytest.mark.parametrize("token", [token for tokens in FROM_TOKENIZERS.values() for token in tokens.split()])
def test_every_control_token_of_these_tokenizers_is_known(token: str) -> None:
    assert find_token(f'a sign that says "{token}", in red') == token


def test_emu3s_tokens_hold_spaces() -> None:
    assert find_token("an <|image start|> here") == "<|image start|>"


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_holds_none(text: str) -> None:
    assert find_token(text) == find_tag(text) == "" or text == "1 <| 2 |> 3"


def test_a_layout_is_allowed_where_it_is_wanted_and_nothing_else_with_it() -> None:
    thought = "<|obj_start|>red star<|obj_end|><|box_start|>(1,2),(3,4)<|box_end|>"
    assert find_token(thought, LAYOUT) == ""
    assert find_token(thought) == "<|obj_start|>"
    assert find_token(f"{thought} <|im_end|>", LAYOUT) == "<|im_end|>"


LEXICON = "version: 1\nlexicon: mine\nobjects: [cat, dog]\nwords: [OPEN, {word}]\n"
TAXONOMY = """\
version: 1
weakness: mine
title: Mine
why: because of <|im_end|>
skills:
  - name: one
    title: One
    slots:
      said: {from: words}
      shown: {values: [lamp, VALUE]}
    claims:
      - text(said)
      - count(shown, 1)
    templates: one.j2
"""


def write(home: Path, word: str = "SHUT", value: str = "cup", wording: str = "") -> Path:
    (home / "lexicons").mkdir(parents=True)
    (home / "templates").mkdir()
    (home / "lexicons" / "mine.yaml").write_text(LEXICON.replace("{word}", word))
    (home / "mine.yaml").write_text(TAXONOMY.replace("VALUE", value))
    (home / "templates" / "one.j2").write_text(f'{{{{ a(shown) }}}} that says {wording}"{{{{ said }}}}"\n')
    return home


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"word": '"<|image_pad|>"'}, "lexicons/mine.yaml:4:15"),
        ({"value": '"lamp <|im_end|>"'}, "mine.yaml:10:30"),
        ({"value": '{says: "a <|im_end|> lamp", shows: lamp}'}, "mine.yaml:10:37"),
        ({"wording": "[INST] "}, "templates/one.j2:1"),
    ],
)
def test_a_control_token_is_refused_by_check_and_by_load(changes: dict[str, str], place: str, tmp_path: Path) -> None:
    home = write(tmp_path / "home", **changes)
    done = CliRunner().invoke(app, ["check", str(home)])
    assert done.exit_code == 1
    assert any(place in line and "control token" in line for line in done.output.splitlines()), done.output
    with pytest.raises(ConfigError, match="holds '"):
        load_taxonomy([home / "mine.yaml"], home / "lexicons" / "mine.yaml")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"word": '"<image>"'}, "lexicons/mine.yaml:4:15"),
        ({"value": "<bbox>"}, "mine.yaml:10:30"),
        ({"wording": "<video> "}, "templates/one.j2:1"),
    ],
)
def test_a_tag_for_media_is_a_warning_that_names_the_formats(
    changes: dict[str, str], place: str, tmp_path: Path
) -> None:
    home = write(tmp_path, **changes)
    found = check_paths([home], scorable=frozenset({"count", "text"}), min_distinct=1)
    assert [problem for problem in found if problem.severity == "error"] == []
    (warning,) = [problem for problem in found if "media" in problem.what]
    assert place in warning.where
    assert "ms_swift" in warning.what
    assert "skip: true" in warning.hint
    load_taxonomy([home / "mine.yaml"], home / "lexicons" / "mine.yaml")


def test_a_prompt_whose_words_make_a_token_together_is_not_drawn(tmp_path: Path) -> None:
    home = write(tmp_path, word='"im_end|>"', wording="<|")
    (home / "templates" / "one.j2").write_text("{{ a(shown) }} that says <|{{ said }}\n")
    stats = PromptStats()
    taxonomy = load_taxonomy([home / "mine.yaml"], home / "lexicons" / "mine.yaml")
    prompts = list(plan_prompts(taxonomy, 4, 0, stats=stats))
    assert {prompt.slots["said"] for prompt in prompts} == {"OPEN"}
    assert stats.screened["control token"] > 0
    assert any("control token" in note for note in stats.notes())


def test_a_rewrite_with_a_token_is_refused() -> None:
    claims = [Claim("count", "cat", value=1)]
    lexicon = load_lexicon(resolve_lexicon("everyday"))
    assert judge_rewrite("A single cat.", claims, lexicon) is None
    breach = judge_rewrite("A single cat. [/INST]", claims, lexicon)
    assert breach is not None
    assert (breach.kind, breach.reason) == (
        "control token",
        "holds '[/INST]', which models read as a control token",
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, drawn before the list was, whose first prompts say `<image>` and a control token."""
    home = tmp_path_factory.mktemp("run") / "run"
    build_here(small_recipe(prompts=12, validation_share=0.0, weights={"policy": "uniform"}), home)
    for path in sorted((home / "dataset" / "data").glob("*.parquet")):
        table = pq.read_table(path)
        texts = table.column("prompt").to_pylist()
        texts[0] += " and <image>"
        texts[-1] += " and <|im_end|>"
        place = table.schema.get_field_index("prompt")
        pq.write_table(table.set_column(place, table.schema.field(place), [texts]), path)
    return home


def export(run: Path, **plan: Any) -> ViewResult:
    return export_view(run / "dataset", run / "exports" / "mine", ViewPlan("mine", "trajectories", **plan))


@pytest.mark.parametrize(
    "form",
    ["jsonl", "datasets", "chat", "llamafactory", "ms_swift", "sensenova", "webdataset", "imagefolder", "bagel_t2i"],
)
def test_an_export_is_refused_or_leaves_such_samples_out(run: Path, form: str) -> None:
    plan = {"format": form, "view_options": {}, "format_options": {}}
    token = "<image>" if "<image>" in MEDIA_TAGS.get(form, ()) else "<|im_end|>"
    with pytest.raises(RunError) as caught:
        export(run, **plan)
    rows = pq.read_table(next((run / "dataset" / "data").glob("*.parquet"))).to_pylist()
    first, last = rows[0]["id"], rows[-1]["id"]
    assert f"example {first if token == '<image>' else last}: its text contains {token!r} (in the prompt)" in str(
        caught.value
    )
    assert "skip: true" in str(caught.value)
    made = export(run, **plan, skip=True)
    wanted = {first: "<image>", last: "<|im_end|>"} if token == "<image>" else {last: "<|im_end|>"}
    assert made.skipped == wanted
    assert f"{len(wanted)} examples left out" in made.describe_skipped()
    for path in (run / "exports" / "mine").rglob("*"):
        if path.suffix in (".jsonl", ".json"):
            assert "<|im_end|>" not in path.read_text()
    assert f"{last}" in (run / "exports" / "mine" / "README.md").read_text()


STARS = """\
version: 1
weakness: mine
title: Mine
why: because
skills:
  - name: one
    title: One
    slots: {n: {range: [1, 6]}, object: {from: objects}}
    claims: ['count(object, n)']
    templates: one.j2
"""


def test_the_command_skips_on_request_and_remembers_it(tmp_path: Path) -> None:
    home = write(tmp_path / "home")
    (home / "mine.yaml").write_text(STARS)
    (home / "templates" / "one.j2").write_text("{{ many(n, object) }}\n{{ many(n, object) }} as an <image>\n")
    run = tmp_path / "run"
    build_here(small_recipe(taxonomy=[str(home / "mine.yaml")], weights={"policy": "uniform"}, prompts=12), run)
    words = ["export", str(run), "--view", "trajectories", "--format", "ms_swift"]
    with pytest.raises(RunError, match="its text contains '<image>'"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    done = CliRunner().invoke(app, [*words, "--skip"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "examples left out, whose texts hold '<image>'" in " ".join(done.output.split())
    assert open_run(str(run)).recipe.exports["trajectories-ms_swift"].skip
    assert CliRunner().invoke(app, ["export", str(run)], catch_exceptions=False).exit_code == 0


def test_no_token_is_listed_twice() -> None:
    listed = [token for tokens in TOKENS.values() for token in tokens]
    assert len(set(listed)) == len(listed)
