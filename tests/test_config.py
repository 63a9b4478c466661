"""Recipes: read, changed on the command line, and refused with a line that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.config import (
    PATH_KEYS,
    PROMPT_KEYS,
    SAMPLE_KEYS,
    SCORE_KEYS,
    VIEW_KEYS,
    Recipe,
    changed_keys,
    fingerprint_of,
    load_recipe,
    make_recipe,
    stage_marks,
)
from datagen.errors import ConfigError

GOOD = "taxonomy: [counting]\nprompts: 12\nbackend: {name: embedded, temperature: 0.5}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_takes_its_name_and_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    assert (recipe.name, recipe.prompts, recipe.candidates, recipe.mode) == ("mine", 12, 4, "think")
    assert recipe.backend.name == "embedded"
    assert recipe.backend.options == {"temperature": 0.5}


def test_the_shipped_quickstart_loads_by_name() -> None:
    recipe = load_recipe("quickstart")
    assert (recipe.prompts, recipe.candidates, len(recipe.taxonomy)) == (200, 4, 4)


def test_overrides_reach_nested_keys_and_parse_yaml(tmp_path: Path) -> None:
    changes = ["backend.temperature=0.25", "rewards=[text, plan]", "detector.match=0.9", "weights.policy=best"]
    recipe = load_recipe(write(tmp_path, GOOD), changes)
    assert recipe.backend.options == {"temperature": 0.25}
    assert recipe.selecting == ["text", "plan"]
    assert recipe.detector.options == {"match": 0.9}
    assert (recipe.weights.policy, recipe.to_dict()["weights"]) == ("best", {"policy": "best"})


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("taxonomy: [counting]\ncandidatez: 3\n", "mine.yaml:2:1", "did you mean 'candidates'?"),
        ("taxonomy: [counting]\nprompts: many\n", "mine.yaml:2:10", "must be a whole number, not 'many'"),
        ("taxonomy: [counting]\nprompts: 1000000000\n", "mine.yaml:2", "10000000"),
        ("taxonomy: [counting]\nprompts: true\n", "mine.yaml:2", "prompts"),
        ("taxonomy: [counting]\nversion: 2\n", "mine.yaml:2:10", "newer"),
        ("taxonomy: [counting]\nversion: 0\n", "mine.yaml:2:10", "must be 1, not 0"),
        ("taxonomy:\n", "mine.yaml:1", "taxonomy"),
        ("taxonomy: [counting]\naggregate: {imag: min}\n", "mine.yaml:2:13", "did you mean 'image'?"),
        ("taxonomy: [counting]\nprompts: 1\nprompts: 2\n", "mine.yaml:3", "twice"),
        ("taxonomy: [counting\nprompts: 3\n", "mine.yaml:2", "broken YAML"),
        ("prompts: 3\n", "mine.yaml:1:1", "'taxonomy' is missing\nadd it: shipped names"),
        ("- a\n- b\n", "mine.yaml", "mapping of keys"),
        ("", "mine.yaml", "mapping of keys"),
        ("taxonomy: [counting]\nshard_prompts: 10000\ncandidates: 200\n", "mine.yaml", "a shard holds at most"),
        ("taxonomy: [counting]\nprompts: 10000000\ncandidates: 256\nshard_prompts: 8\n", "mine.yaml", "at most"),
        ("taxonomy: [counting]\nrewards: [plan, plan]\n", "mine.yaml", "twice"),
        ("taxonomy: [counting]\nname: ../etc\n", "mine.yaml:2", "name"),
        ("taxonomy: [counting]\nseed: -1\n", "mine.yaml:2", "seed"),
        ("taxonomy: [counting]\nfailure_limit: .nan\n", "mine.yaml:2", "failure_limit"),
    ],
)
def test_what_is_wrong_is_said_at_its_line(tmp_path: Path, text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, text))
    assert where in caught.value.where
    assert what in str(caught.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, "taxonomy: [counting]\nprompts: 0\nmode: dream\nwaights: {}\n"))
    for word in ("mine.yaml:2:10", "mine.yaml:3:7", "mine.yaml:4:1", "'weights'"):
        assert word in str(caught.value)


FAULTY = """\
taxonomy: [counting]
rewards:
  - countin
  - {name: text, metrik: mario}
  - name: geneval
    strict: 3
  - compbench
  - sharpness: 1
weights:
  policy: rwr
  betta: 0.5
allocate: {policy: uniformm}
expand:
  styles: [haiku]
  backend: {model: m, name: opnai}
screen: {pi: true}
adapt: {start: 9, by: [countng]}
limits:
  vqa: {scored: 0.5}
  countin: {accuracy: 0.5}
detector:
  match: 0.5
  name: pictogramz
judge: opena
encoders: [efficientnet]
matchers: {clip: transformer}
exports:
  one: {view: trajectory, format: parket}
  two: {view: {name: pairs, marginn: 1, reward: 3}}
"""


def test_every_fault_of_every_key_is_told_at_its_place_in_one_pass(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, FAULTY))
    told = [line.partition("mine.yaml:")[2] for line in f"{caught.value.where}  {caught.value}".splitlines()]
    places = [line.split(" ")[0].rstrip(":") for line in told if line]
    words = (
        "3:5 4:18 6:13 7:5 8:5 11:3 12:20 14:12 15:29 16:10 17:16 20:23 23:9 24:8 25:12 26:18 28:15 28:35 29:29 29:49"
    )
    assert places == words.split()


def test_keys_that_are_right_by_themselves_are_compared_though_others_are_wrong(tmp_path: Path) -> None:
    text = FAULTY.replace("  - sharpness: 1\n", "")
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, text))
    for said in (
        "mine.yaml:16:16  adapt.start is 9: it must be below candidates, 4",
        "mine.yaml:16:24  no scorer named 'countng'; did you mean 'counting'?",
        "mine.yaml:18:3  limits: no scorer 'vqa' in rewards; known: compbench, countin",
        "mine.yaml:19:23  limits: accuracy is measured on canaries",
    ):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rewards: [vqa, vqa]\n", "mine.yaml:2:16: rewards lists the same scorer twice"),
        ("rewards: [vqa, {name: text, metric: mari}]\n", "mine.yaml:2:37: rewards[1].metric: must be 'letters'"),
        (
            "rewards: [{name: counting, strict: true}]\n",
            "mine.yaml:2:28: the scorer 'counting' takes no option 'strict'",
        ),
        ("rewards: [text_mario]\n", "mine.yaml:2:11: no scorer named 'text_mario'\nwrite {name: text, metric: mario}"),
        ("rewards: [own_scorers.none]\n", "mine.yaml:2:11: the scorer 'own_scorers.none' cannot be imported"),
        ("rewards: [vqa]\nevaluate: [text, vqa]\n", "mine.yaml:3:18: vqa would both select and evaluate the samples"),
        ("rewards: [text]\naggregate:\n  image: 0.5*txet\n", "mine.yaml:4:10: 'txet' is not a scorer of the recipe"),
        (
            "rewards: [text]\naggregate: {by_weakness: {counting: {text: text * 2}}}\n",
            "mine.yaml:3:44: 'text * 2' reaches 2 where every scorer says 1",
        ),
        ("weights: {clip: [2, 3]}\n", "mine.yaml:2:10: weights: clip [2, 3] must hold 1"),
        ("weights:\n", "mine.yaml:2:9: weights: must be a mapping of key: value, not None"),
        ("allocate: {policy: by_failure}\n", "mine.yaml:2:11: allocate: `by_failure` needs `diagnosis:`"),
        ("detector: {name: onnx, sides: 3}\n", "mine.yaml:2:1: detector: the key 'model' is missing"),
        ("exports: {a: {view: pairs, format: {name: chat, packd: 1}}}\n", "mine.yaml:2:49: the format 'chat' takes no"),
    ],
)
def test_words_options_and_expressions_are_told_at_their_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, "taxonomy: [counting]\n" + text))
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(told)


def test_the_name_of_a_file_alone_is_told_how_to_name_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "looks.py").touch()
    with pytest.raises(ConfigError, match=r"no scorer named 'looks'\nfor looks\.py write looks:NAME"):
        load_recipe(write(tmp_path, "taxonomy: [counting]\nrewards: [looks]\n"))


def test_a_recipe_that_a_run_has_noted_is_read_without_its_modules() -> None:
    noted = {"taxonomy": "counting", "rewards": ["gone_since.sharpness", "text_mario"], "detector": "gone_since.eyes"}
    assert make_recipe(noted).selecting == ["gone_since.sharpness", "text_mario"]


def test_what_was_set_on_the_command_line_is_told_there(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "mode: dream\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, ["prompts=0", "aggregate.imag=min", "backend.name=''"])
    told = str(caught.value)
    assert "--set prompts  prompts: must be" in told
    assert "--set aggregate.imag: unknown key 'imag' in aggregate" in told
    assert "--set backend.name  backend.name: must have" in told
    assert f"{path}:4:7  mode: must be" in told


def test_an_empty_key_means_its_default(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "taxonomy: counting\nlexicon:\ncontamination:\n")).contamination == []


@pytest.mark.parametrize("override", ["candidates", "=3", "a..b=1", "candidates={"])
def test_a_broken_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"key=value|YAML"):
        load_recipe("quickstart", [override])


def test_unknown_recipes_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        load_recipe("quikstart")
    with pytest.raises(ConfigError, match="no such recipe"):
        load_recipe("folder/none.yaml")


def test_paths_are_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "taxonomy").mkdir()
    (tmp_path / "taxonomy/own.yaml").write_text("x", encoding="utf-8")
    recipe = load_recipe(write(tmp_path, "taxonomy: [taxonomy/own.yaml, counting]\n"))
    assert recipe.taxonomy == [str((tmp_path / "taxonomy/own.yaml").resolve()), "counting"]


@pytest.mark.parametrize(("key", "inner"), [("allocate", "diagnosis"), ("screen", "words"), ("expand", "instruction")])
def test_a_file_that_a_key_names_is_looked_for_beside_the_recipe(key: str, inner: str, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("x", encoding="utf-8")
    more = ", policy: by_failure" if key == "allocate" else ""
    named = "[own.txt]" if key == "screen" else "own.txt"
    recipe = load_recipe(write(tmp_path, f"taxonomy: counting\n{key}: {{{inner}: {named}{more}}}\n"))
    found = recipe.to_dict()[key][inner]
    assert ([found] if isinstance(found, str) else found) == [str((tmp_path / "own.txt").resolve())]


def test_every_key_decides_something_or_is_a_view() -> None:
    homes = [VIEW_KEYS, PATH_KEYS, PROMPT_KEYS, SAMPLE_KEYS, SCORE_KEYS]
    assert sorted(key for keys in homes for key in keys) == sorted([*Recipe.model_fields, "canaries"])


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ("weights.policy=best", set()),
        ("rewards=[counting]", {"scores"}),
        ("detector=learned", {"scores"}),
        ("candidates=7", {"samples", "scores"}),
        ("seed=7", {"prompts", "samples", "scores"}),
    ],
)
def test_each_stage_has_a_mark_of_what_decides_it(change: str, moved: set[str]) -> None:
    before = stage_marks(make_recipe({"taxonomy": "counting"}), {"a": "1"}, {})
    after = stage_marks(make_recipe({"taxonomy": "counting"}, [change]), {"a": "1"}, {})
    assert {stage for stage in before if before[stage] != after[stage]} == moved
    made = stage_marks(make_recipe({"taxonomy": "counting"}, [change]), {"a": "1"}, {"scores": {"own/scorer.py": "0f"}})
    assert {stage for stage in made if made[stage] != after[stage]} == {"scores"}


def test_with_adapt_the_detector_decides_samples_and_with_expand_the_backend_prompts() -> None:
    base = {"taxonomy": "counting", "adapt": {"start": 2, "by": ["counting"]}, "expand": {}}
    before = stage_marks(make_recipe(base), {}, {})
    assert stage_marks(make_recipe(base, ["detector=learned"]), {}, {})["samples"] != before["samples"]
    assert stage_marks(make_recipe(base, ["backend.temperature=0.5"]), {}, {})["prompts"] != before["prompts"]


def test_the_fingerprint_is_of_the_data_alone() -> None:
    base = {"taxonomy": ["counting"], "weights": {"policy": "rwr"}}
    first = fingerprint_of(make_recipe(base), {"a": "1"})
    assert fingerprint_of(make_recipe(base, ["weights.policy=best", "name=other"]), {"a": "1"}) == first
    assert fingerprint_of(make_recipe(base, ["seed=1"]), {"a": "1"}) != first
    assert fingerprint_of(make_recipe(base), {"a": "2"}) != first


def test_changed_keys_are_dotted() -> None:
    old = make_recipe({"taxonomy": ["counting"]}).to_dict()
    new = make_recipe({"taxonomy": ["counting"]}, ["backend.temperature=2", "candidates=8", "weights.beta=1"]).to_dict()
    assert changed_keys(old, new) == ["backend.temperature", "candidates"]


def test_a_recipe_survives_the_way_through_yaml() -> None:
    recipe = load_recipe("quickstart")
    assert Recipe.model_validate(recipe.to_dict()) == recipe
