"""Result files: each benchmark's own form and a CSV, read right, and each way of being wrong said in one error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datagen.diagnose import Diagnosis, dump_diagnosis, load_diagnosis, read_results
from datagen.errors import ConfigError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def geneval_line(tag: str, prompt: str, correct: object, **more: object) -> str:
    """A line as GenEval's evaluate_images.py writes it."""
    metadata = json.dumps({"tag": tag, "include": [], "prompt": prompt})
    values = {"filename": "images/00000/samples/0000.png", "tag": tag, "prompt": prompt, "correct": correct}
    return json.dumps({**values, "reason": "", "metadata": metadata, "details": "{}", **more})


def by_path(found: Diagnosis) -> dict[str, tuple[float | None, float | None, float | None]]:
    """pass@1, pass@n and reward of each row."""
    return {
        row.path: tuple(rate.value if rate else None for rate in (row.pass_1, row.pass_n, row.reward))  # type: ignore[misc]
        for row in found.rows
    }


def test_geneval(tmp_path: Path) -> None:
    lines = [geneval_line("counting", "two cups", k == 0) for k in range(4)]
    lines += [geneval_line("counting", "three cups", False) for _ in range(4)]
    lines += [geneval_line("two_object", "a cup and a cat", True) for _ in range(4)]
    found = read_results(write(tmp_path, "results.jsonl", "\n".join(lines) + "\n"), model="bagel")
    assert by_path(found) == {"geneval/counting": (0.125, 0.5, None), "geneval/two_object": (1.0, 1.0, None)}
    assert [row.covered for row in found.rows] == [["counting"], ["geneval/two_object"]]
    assert (found.made.source, found.made.candidates, found.made.prompts) == ("geneval", 4, 3)
    assert found.made.model == {"name": "bagel"}
    assert (found.rows[0].prompts, found.rows[0].samples) == (2, 8)


def test_t2i_compbench_tells_prompts_by_number(tmp_path: Path) -> None:
    # Attribute scores are written as text, detection scores as numbers.
    rows = [{"question_id": k, "answer": "0.5000" if k < 10 else 1} for k in range(20)]
    found = read_results(write(tmp_path, "vqa_result.json", json.dumps(rows)), category="numeracy")
    assert by_path(found) == {"t2i_compbench/numeracy": (None, None, 0.75)}
    assert (found.rows[0].prompts, found.rows[0].verdict, found.rows[0].covers) == (2, "graded", ["counting"])
    assert found.made.notes == ["prompts told by their number: 10 images in a row are one prompt"]


def test_t2i_compbench_tells_prompts_by_the_images_beside_it(tmp_path: Path) -> None:
    for number, prompt in enumerate(["a red cup", "a red cup", "a blue_ish cat", "a blue_ish cat", "a dog"]):
        write(tmp_path, f"samples/{prompt}_{number:06d}.png", "")
    rows = [{"question_id": k, "answer": "1.0000" if k == 4 else "0.0000"} for k in range(5)]
    file = write(tmp_path, "annotation_blip/vqa_result.json", json.dumps(rows))
    found = read_results(file, category="color")
    assert found.rows[0].prompts == 3
    assert by_path(found)["t2i_compbench/color"][2] == pytest.approx(1 / 3, abs=1e-4)
    assert found.made.notes == ["prompts told by the names in samples/"]


def test_oneig_alignment(tmp_path: Path) -> None:
    text = ",one,two\nanime_000,0.5,1.0\nanime_001,,0.0\nobject_000,0.25,1.0\n"
    file = write(tmp_path, "alignment_prompt_score_EN_2025-06-01_10-00-00.csv", text)
    found = read_results(file, model="one")
    assert by_path(found) == {"oneig/anime": (None, None, 0.5), "oneig/object": (None, None, 0.25)}
    assert found.rows[0].unjudged == 1
    assert found.made.model == {"name": "one"}


def test_oneig_text_has_its_own_score_and_a_strict_share(tmp_path: Path) -> None:
    text = ',mine\n000,"[0.0, 1.0, 1.0]"\n001,"[20.0, 0.25, 0.5]"\n002,"[500.0, 0.0, 0.0]"\n'
    found = read_results(write(tmp_path, "text_prompt_score_EN_x.csv", text))
    # 1 - 20 * 0.75 * 0.5 / 100 = 0.925; at most 100 counts of the distance
    assert by_path(found) == {"oneig/text": (round(1.25 / 3, 4), None, round(1.925 / 3, 4))}
    assert found.rows[0].covers == ["text_rendering"]
    chinese = read_results(write(tmp_path, "text_prompt_score_ZH_x.csv", text))
    assert by_path(chinese)["oneig/text"][2] == round((1 + 0.85) / 3, 4)


def test_a_csv_of_ones_own(tmp_path: Path) -> None:
    text = (
        "skill,level,prompt,passed,reward\n"
        'counting/few,easy,"two cups, please",1,0.9\ncounting/few,easy,"two cups, please",0,0.1\n'
        "counting/few,hard,six cups,false,\ncounting/few,hard,six cups,,\n\n"
        "spatial,,a cat on a box,TRUE,1\nspatial,,a cat on a box,yes,1\n"
    )
    found = read_results(write(tmp_path, "mine.csv", "\ufeff" + text))
    assert by_path(found) == {
        "counting/few": (0.25, 1.0, 0.5),
        "counting/few/easy": (0.5, 1.0, 0.5),
        "counting/few/hard": (0.0, None, None),
        "spatial": (1.0, 1.0, 1.0),
    }
    assert [row.unjudged for row in found.rows] == [1, 0, 1, 0]
    assert found.made.candidates == 2


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    lines = "\n".join(geneval_line("colors", f"prompt {k // 4}", k % 3 == 0) for k in range(80))
    found = read_results(write(tmp_path, "results.jsonl", lines))
    text = dump_diagnosis(found)
    assert load_diagnosis(write(tmp_path, "diagnosis.yaml", text)) == found
    assert dump_diagnosis(read_results(tmp_path / "results.jsonl")) == text


METADATA = json.dumps({"tag": "counting", "include": [], "prompt": "two cups"})
BAD = [
    ("empty.csv", "", "the file is empty"),
    ("empty.csv", "  \n\n", "the file is empty"),
    ("header.csv", "skill,prompt,passed\n", "has no samples"),
    ("typo.csv", "skill,prompt,pased\na,b,1\n", "did you mean 'passed'?"),
    ("twice.csv", "skill,prompt,passed,passed\na,b,1,1\n", "is listed twice"),
    ("bare.csv", "skill,prompt\na,b\n", "neither `passed` nor `reward`"),
    ("noskill.csv", "prompt,passed\nb,1\n", "no column 'skill'"),
    ("short.csv", "skill,prompt,passed\na,b\n", "short.csv:2: 2 values under 3 columns"),
    ("value.csv", "skill,prompt,passed\na,b,1\na,b,maybe\n", "value.csv:3: `passed` is 'maybe'"),
    ("reward.csv", "skill,prompt,reward\na,b,1.2\n", "reward.csv:2: `reward` is '1.2'"),
    ("nan.csv", "skill,prompt,reward\na,b,nan\n", "`reward` is 'nan'"),
    ("hole.csv", "skill,prompt,reward\na,,1\n", "`prompt` is empty"),
    ("deep.csv", "skill,level,prompt,passed\na/b/c,d,p,1\n", "'a/b/c/d' is not a path"),
    ("unjudged.csv", "skill,prompt,passed\na,b,\n", "the file has no judged sample"),
    ("big.csv", "skill,prompt,passed\na," + "x" * 200_000 + ",1\n", "broken CSV"),
    ("words.txt", "hello", "ends with '.txt'"),
    ("meta.jsonl", METADATA, "the line lacks `correct`"),
    ("other.jsonl", '{"question_id": 1, "answer": 1}', "not results of GenEval: its keys are question_id, answer"),
    ("cut.jsonl", geneval_line("colors", "x", True) + '\n{"tag": "co', "cut.jsonl:2: broken JSON"),
    ("tag.jsonl", geneval_line("a/b/c", "x", True), "'geneval/a/b/c' is not the path"),
    ("list.jsonl", "[1]", "a line is not an object"),
    ("number.jsonl", geneval_line("colors", "x", 1), "the line lacks"),
    ("geneval.json", geneval_line("colors", "x", True), "not results of T2I-CompBench"),
    ("none.json", "[]", "not results of T2I-CompBench"),
    ("range.json", '[{"question_id": 0, "answer": 1.5}]', "not results of T2I-CompBench"),
    ("nan.json", '[{"question_id": 0, "answer": NaN}]', "not results of T2I-CompBench"),
    ("deep.json", "[" * 100_000, "broken JSON"),
    ("right.json", '[{"question_id": 0, "answer": 1}]', "add --category, one of color, shape"),
    ("alignment_score_EN.csv", ",alignment\nmine,0.8\n", "a summary by model"),
    ("text_score_EN.csv", ",ED,CR,WAC,text score\nmine,1,1,1,0.8\n", "a summary by model"),
    ("reasoning_prompt_score.csv", ",mine\n000,0.31\n", "'0.31' is not a score of OneIG alignment or text"),
    ("two_prompt_score.csv", ",one,two\nanime_000,1,1\n", "add --model: one, two"),
    ("none_prompt_score.csv", ",one\nanime_000,\n", "has no scores"),
    ("bad_prompt_score.csv", ",one\nanime_000,12\n", "'12' is not a score"),
]


@pytest.mark.parametrize(("name", "text", "said"), BAD)
def test_a_file_that_is_not_what_it_should_be_is_one_error(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_results(write(tmp_path, name, text))
    assert said in str(caught.value)
    assert name in caught.value.where
    assert caught.value.hint


def test_wrong_options_and_other_bytes(tmp_path: Path) -> None:
    rows = write(tmp_path, "vqa.json", '[{"question_id": 0, "answer": 1}, {"question_id": 0, "answer": 1}]')
    with pytest.raises(ConfigError, match="no category 'colour'"):
        read_results(rows, category="colour")
    with pytest.raises(ConfigError, match="question_id occurs twice"):
        read_results(rows, category="color")
    table = write(tmp_path, "mine.csv", "skill,prompt,passed\na,b,1\n")
    with pytest.raises(ConfigError, match="is only for files of T2I-CompBench"):
        read_results(table, category="color")
    with pytest.raises(ConfigError, match="no model 'x'"):
        read_results(write(tmp_path, "a_prompt_score.csv", ",one\nanime_000,1\n"), model="x")
    with pytest.raises(ConfigError, match="cannot read the file"):
        read_results(tmp_path / "nowhere.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_results(tmp_path / "picture.csv")
