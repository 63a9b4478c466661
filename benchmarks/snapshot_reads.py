"""Our files, read by the data code of trainers and evaluators that are public as repositories alone.

    python benchmarks/snapshot_reads.py FORMAT SNAPSHOT

SNAPSHOT is a checkout of the repository that FORMAT's module names, at that commit. Each reader exports examples, lets
the repository's own classes and functions read them, and compares. What a reader does not need (detectors, GPUs,
weights) is left out; nothing is trained. BAGEL and its forks are in bagel_reads.py.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
import tempfile
import textwrap
import types
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

from datagen.export.examples import Example
from datagen.plugins import load_plugin
from datagen.records import Claim

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "export"))
from export_cases import draw_png
from format_cases import ask, make_closed, make_example, make_reflections, make_trajectories, show
from view_rows import make_row


def main() -> None:
    """Read and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=sorted(READERS))
    parser.add_argument("snapshot", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as away:
        print(READERS[asked.format](asked.snapshot.resolve(), Path(away)))


def read_geneval(snapshot: Path, folder: Path) -> str:
    """Let GenEval's `main` walk our folders, with a stand-in for its detector alone."""
    prompts = make_prompts()
    examples = [
        replace(e, id=f"{e.id}{k}", parts=(*e.parts, show(draw_png("red"), 1.0))) for e in prompts for k in (0, 1)
    ]
    export("geneval", examples, folder, layout="folders")
    seen = []
    scope = take(snapshot / "evaluation" / "evaluate_images.py", ["main"])

    def evaluate_image(path: str, metadata: dict[str, Any]) -> dict[str, Any]:
        seen.append((metadata["prompt"], os.path.basename(path), Path(path).read_bytes()))
        return {"filename": path, "tag": metadata["tag"], "prompt": metadata["prompt"], "correct": True, "reason": ""}

    import pandas as pd

    scope.update(os=os, json=json, pd=pd, tqdm=types.SimpleNamespace(tqdm=lambda x: x), evaluate_image=evaluate_image)
    import re

    scope.update(re=re)
    options = types.SimpleNamespace(imagedir=str(folder / "train"), outfile=str(folder / "results.jsonl"))
    scope["main"](options)
    assert sorted(seen) == sorted(
        (e.parts[0].text, f"0000{k % 2}.png", e.parts[1].image) for k, e in enumerate(examples)
    )
    assert len(pd.read_json(options.outfile, lines=True)) == len(seen)
    return f"{len(seen)} images of {len(prompts)} prompts"


def read_flow_grpo(snapshot: Path, folder: Path) -> str:
    """Let flow_grpo's `GenevalPromptDataset` read our lines."""
    export("geneval", make_prompts(), folder, layout="flow_grpo")
    scope = take(snapshot / "scripts" / "train_sd3.py", ["GenevalPromptDataset"], Dataset=object, os=os, json=json)
    dataset = scope["GenevalPromptDataset"](str(folder), "train")
    prompts, lines = dataset.collate_fn([dataset[k] for k in range(len(dataset))])
    assert prompts == [e.parts[0].text for e in make_prompts()] == [line["prompt"] for line in lines]
    return f"{len(dataset)} prompts: {[line['tag'] for line in lines]}"


def read_t2i_r1(snapshot: Path, folder: Path) -> str:
    """Let T2I-R1's grpo.py load and map our rows, up to its trainer, which takes them in place of training."""
    view = load_plugin("export.views", "t2i_r1", "view")
    cup, star = Claim("count", "cup", value=1), Claim("count", "star", value=1)
    claims = [
        (cup, star),
        (Claim("relation", "cup", "above", "star"),),
        (Claim("count", "cup", value=2),),
        (Claim("attribute", "star", "color", "red"),),
    ]
    rows = [make_row(claims=each, id=f"p{k}-00", prompt_id=f"p{k}", prompt=f"p{k}") for k, each in enumerate(claims)]
    export("t2i_r1", list(view.view(rows, view.Options())), folder)
    taken: dict[str, Any] = {}
    trainer = types.ModuleType("open_r1.trainer")
    trainer.JanusT2IR1Trainer = type(  # type: ignore[attr-defined]
        "Taker",
        (),
        {"__init__": lambda self, **k: taken.update(k), "train": lambda self: None, "save_model": lambda *a: None},
    )
    sys.modules["open_r1.trainer"] = trainer
    sys.path.insert(0, str(snapshot / "src" / "t2i-r1" / "src"))
    package = types.ModuleType("open_r1")
    package.__path__ = [str(snapshot / "src" / "t2i-r1" / "src" / "open_r1")]
    sys.modules["open_r1"] = package
    from open_r1 import grpo  # type: ignore[import-not-found]

    space = types.SimpleNamespace
    words = str(snapshot / "data" / "prompt" / "reasoning_prompt.txt")
    grpo.main(
        space(
            reward_funcs=["git", "gdino"],
            dataset_name=str(folder / "train.parquet"),
            dataset_train_split="train",
            dataset_test_split="",
        ),
        space(reasoning_prompt_path=words, eval_strategy="no", output_dir="", push_to_hub=False),
        space(model_name_or_path="", attn_implementation="", use_peft=False),
    )
    data = taken["train_dataset"]
    assert [row["det_prompt"]["text_prompt"] for row in data] == ["cup . star.", "cup . star.", "cup.", "star."]
    assert [row["attr_nouns"] for row in data] == [None, None, None, ["red star"]]
    place = take(snapshot / "src/t2i-r1/src/utils/reward_gdino.py", ["determine_position"], torch=space(Tensor=()))
    high, low = ({"x_min": 0, "x_max": 9, "y_min": y, "y_max": y + 9} for y in (0, 90))
    said = [
        place["determine_position"](None, word, high, low) for word in ("above", data[1]["spatial_info"]["locality"])
    ]
    assert said == [0, 1]
    return f"{len(data)} rows; a cup above a star gets {said[0]} for 'above' and {said[1]} for our word"


def read_omnigen2(snapshot: Path, folder: Path) -> str:
    """Let OmniGen2's dataset read our lines, with a stand-in for the processor of pixels."""
    import glob
    import random

    import torch
    import yaml
    from datasets import concatenate_datasets, load_dataset
    from PIL import Image

    export("omnigen2", [*make_trajectories(), *make_reflections()], folder, root=str(folder))
    processor = types.SimpleNamespace(preprocess=lambda image, **_: image.getpixel((0, 0)))
    scope = take(
        snapshot / "omnigen2" / "dataset" / "omnigen2_train_dataset.py",
        ["OmniGen2TrainDataset"],
        **{"torch": torch, "yaml": yaml, "glob": glob, "os": os, "random": random, "Image": Image},
        **{"load_dataset": load_dataset, "concatenate_datasets": concatenate_datasets, "List": list},
        **{"Optional": Optional, "Union": Union, "OmniGen2ImageProcessor": lambda **_: processor},
    )
    data = scope["OmniGen2TrainDataset"](str(folder / "train.yml"), None, use_chat_template=False)
    counts = Counter(row["id"] for row in data.data)
    read = {data.data[k]["id"]: data[k] for k in range(len(data))}
    assert {name: read[name]["output_image"] for name in ("t0", "whole")} == {"t0": (255, 0, 0), "whole": (0, 0, 255)}
    assert read["whole"]["input_images"] == [(255, 0, 0)]
    assert read["t0"]["input_images"] is None
    return f"{dict(counts)}\n{read['whole']}"


def read_diffsynth(snapshot: Path, folder: Path) -> str:
    """Let DiffSynth's `UnifiedDataset` read our lines, with an operator that opens the named files."""
    import pandas
    import torch
    from PIL import Image

    export("diffsynth", [*make_trajectories(), *make_reflections()], folder)
    scope = take(
        snapshot / "diffsynth" / "core" / "data" / "unified_dataset.py",
        ["UnifiedDataset"],
        **{"torch": torch, "json": json, "pandas": pandas, "os": os, "LoadTorchPickle": lambda: None},
    )

    def open_all(named: Any) -> Any:
        return [open_all(each) for each in named] if isinstance(named, list) else Image.open(folder / named).size

    keys = ("image", "edit_image")
    data = scope["UnifiedDataset"](str(folder), str(folder / "train.jsonl"), 1, keys, open_all)
    rows = [data[k] for k in range(len(data))]
    return f"{dict(Counter(row['id'] for row in rows))}\n{rows[-1]}"


def read_showo2(snapshot: Path, folder: Path) -> str:
    """Let Show-o2's `ImageTextDataset` read our lines, images made larger, as it wants them."""
    from test_regions import draw

    examples = [make_example(f"e{k}", ask("a\nstar"), show(draw("red", size_px=512), k / 2)) for k in range(4)]
    export("showo2", examples, folder, root=str(folder))
    for name in [name for name in sys.modules if name == "datasets" or name.startswith("datasets.")]:
        del sys.modules[name]  # its package has the same name
    sys.path.insert(0, str(snapshot / "show-o2"))
    from datasets.image_text_dataset import ImageTextDataset  # type: ignore[attr-defined]

    def tokenize(words: Any, **_: Any) -> Any:
        ids = [[ord(letter) for letter in each] for each in words] if isinstance(words, tuple) else [*map(ord, words)]
        return types.SimpleNamespace(input_ids=ids)

    tokenize.pad_token_id = 0  # type: ignore[attr-defined]
    ids = dict.fromkeys(("bos_id", "eos_id", "boi_id", "eoi_id", "img_pad_id"), 1)
    data = ImageTextDataset(str(folder / "train.jsonl"), tokenize, showo_token_ids=ids, cond_dropout_prob=0.0)
    read = [data[k] for k in range(len(data))]
    assert {each["texts"] for each in read} == {"a star"}
    return f"{len(read)} samples {[line['id'] for line in data.anno]}, image {tuple(read[0]['images'].shape)}"


def read_tiif(snapshot: Path, folder: Path) -> str:
    """Let R3's `TIIFDataset` read our lines."""
    export("tiif", make_prompts(), folder)
    scope = take(snapshot / "train" / "data_utils.py", ["TIIFDataset"], Dataset=object, json=json)
    data = scope["TIIFDataset"](str(folder / "train.jsonl"))
    prompts, lines = data.collate_fn([data[k] for k in range(len(data))])
    return f"{prompts} {[dict(zip(x['yn_question_list'], x['yn_answer_list'], strict=True)) for x in lines]}"


def read_unirl(snapshot: Path, folder: Path) -> str:
    """Let UniRL's `TextPromptDataset` read our rows."""
    for name in ("unirl", "unirl.data", "unirl.types"):
        package = types.ModuleType(name)
        package.__path__ = [str(snapshot / name.replace(".", "/"))]
        sys.modules[name] = package
    from unirl.data.datasets import TextPromptDataset  # type: ignore[import-not-found]

    seen = make_example("seen", show(draw_png("red"), sees="vit"), ask("again"))
    export("unirl", [*make_prompts(), seen], folder)
    data = TextPromptDataset(str(folder / "train.jsonl"))
    rows = [data.get_prompt_example(k) for k in range(len(data))]
    assert Path(rows[-1]["media_refs"][0].uri).is_file()
    return "\n".join(map(str, rows))


def read_srum(snapshot: Path, folder: Path) -> str:
    """Let SRUM's `PackedDataset` read our lines, and look at its maps of weights and at a batch."""
    sys.path.insert(0, str(snapshot))
    from bagel_reads import make_packed, quiet
    from test_regions import SCORED

    plain = folder / "plain"
    plain.mkdir()
    export("srum", SCORED, plain)
    export("srum", SCORED, folder, root=str(folder))
    lines = {line["id"]: line for line in map(json.loads, (plain / "train.jsonl").open(encoding="utf-8"))}
    with quiet():
        packed = make_packed(folder, 0, 1, 1, resize=False)
        (dataset,) = packed.grouped_datasets
        found: dict[str, Any] = {}
        for sample in dataset:
            name = json.loads(dataset.lines[sample["data_indexes"]["data_indexes"][0]])["id"]
            spots = {"top left": (9, 9), "bottom right": (-9, -9), "middle": (260, 260), "bottom left": (-9, 9)}
            shown = {spot: float(sample["regional_reward_map"][place]) for spot, place in spots.items()}
            found[name] = {"line": lines[name], "map": shown}
            if len(found) == len(SCORED):
                break
        batch = next(iter(packed))
    shape = tuple(batch["regional_reward_map"].shape)
    return "\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in found.items()) + f"\nmaps {shape}"


def read_verl_omni(snapshot: Path, folder: Path) -> str:
    """Let verl-omni's validator, planner and `RLHFDataset` (with verl) read trajectories and prompts."""
    for name in ("verl_omni", "verl_omni.utils", "verl_omni.utils.dataset"):
        package = types.ModuleType(name)  # its own __init__ needs a GPU
        package.__path__ = [str(snapshot / name.replace(".", "/"))]
        sys.modules[name] = package
    from verl_omni.utils.dataset import visual_reflection as reader  # type: ignore[import-not-found]
    from verl_omni.utils.dataset.visual_reflection.images import validate_image_asset  # type: ignore[import-not-found]

    export("verl_omni", make_closed(), folder)
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    ratios = {"train": 1.0, "validation": 0.0, "test": 0.0}
    partition = reader.make_split_provenance(ratios=ratios, seed="1")
    splits = reader.assign_source_splits(lines, ratios=ratios, seed="1")
    found = {}
    for line in lines:
        assert reader.validate_trajectory(line) == line
        assert all(validate_image_asset(image, asset_root=folder) == image for image in line["images"])
        split = splits[line["source_dataset"], line["source_record_id"]]
        atoms = reader.plan_atomic_examples(line, source_split=split, partition=partition)
        counts = dict(Counter(atom["task"] for atom in atoms))
        found[line["source_record_id"]] = {"trajectory_id": line["trajectory_id"], "atoms": counts}
    return "\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in found.items()) + _read_rows(folder)


def _read_rows(folder: Path) -> str:
    import tokenizers
    from omegaconf import OmegaConf  # type: ignore[import-not-found]
    from transformers import PreTrainedTokenizerFast
    from verl_omni.utils.dataset.rl_dataset import RLHFDataset  # type: ignore[import-not-found]

    words = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1}, []))
    words.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    words.save(str(folder / "tokenizer.json"))
    prompts = [make_example(f"p{k}", ask(text)) for k, text in enumerate(["ab", "bba"])]
    export("verl_omni", prompts, folder, layout="grpo", tokenizer=folder / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, chat_template="{{ messages[0].content }}")
    config = OmegaConf.create({"cache_dir": str(folder / "cache"), "filter_overlong_prompts": False})
    rows = RLHFDataset(data_files=[str(next(folder.glob("train-*.parquet")))], tokenizer=tokenizer, config=config)
    read = [
        (row["raw_prompt"], row["raw_negative_prompt"], [*row["prompt_token_ids"]])
        for row in map(rows.__getitem__, (0, 1))
    ]
    return f"\n{read}"


def make_prompts() -> list[Example]:
    """Prompts with claims as the dataset has them."""
    claims = {
        "three stars": [Claim("count", "star", value=3)],
        "a red star": [Claim("count", "star", value=1), Claim("attribute", "star", "color", "red")],
        "a cat left of a box": [Claim("relation", "cat", "left of", "box")],
    }
    return [
        make_example(text, ask(text), claims=[{**claim.to_dict(), "value": str(claim.value)} for claim in each])
        for text, each in claims.items()
    ]


def export(word: str, examples: Sequence[Example], folder: Path, **options: Any) -> None:
    """Write examples as the split `train` of a format."""
    format_ = load_plugin("export.formats", word, "write")
    format_.write(iter(examples), folder, "train", format_.Options(**options))


def take(path: Path, names: Sequence[str], **scope: Any) -> dict[str, Any]:
    """Return classes and functions of a file by name, without running the rest of it, which may need a GPU."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in names:
            exec(textwrap.dedent(ast.get_source_segment(text, node) or ""), scope)
    assert {*names} <= scope.keys()
    return scope


READERS: dict[str, Callable[[Path, Path], str]] = {
    "diffsynth": read_diffsynth,
    "flow_grpo": read_flow_grpo,
    "geneval": read_geneval,
    "omnigen2": read_omnigen2,
    "showo2": read_showo2,
    "srum": read_srum,
    "t2i_r1": read_t2i_r1,
    "tiif": read_tiif,
    "unirl": read_unirl,
    "verl_omni": read_verl_omni,
}

if __name__ == "__main__":
    main()
