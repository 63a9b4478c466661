"""Trains on an export with a trainer's own entry, and notes what each example of each batch teaches.

Runs in the environment of the trainers, without datagen: `python probe.py JOB.json`. A job has `entry`, `arguments`,
`model` (a folder), `images` (a folder with files to recognise), `stage`, and `out`, the file for what was seen, in
training:

    rows     [{"spans": [[text, weight], …], "pictures": [names of files]}, …]
    losses   [[the trainer's loss, the mean over learned tokens of weight times cross-entropy], …]
    moved    the largest change of a parameter
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

IGNORED = -100


def main(path: str) -> None:
    job = json.loads(Path(path).read_text())
    watch = READERS.get(job["entry"], watch_training)
    Path(job["out"]).write_text(json.dumps(watch(job)))


def watch_training(job: dict[str, Any]) -> dict[str, Any]:
    """Train as the job says, with the step of transformers' Trainer watched."""
    import torch
    from transformers import AutoProcessor, Trainer

    processor = AutoProcessor.from_pretrained(job["model"])
    names = name_pictures(processor, Path(job["images"]))
    seen: dict[str, Any] = {"rows": [], "losses": [], "moved": 0.0}
    first: dict[str, Any] = {}
    step = Trainer.training_step

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        for name, value in model.named_parameters():
            first.setdefault(name, value.detach().clone())
        seen["rows"] += describe(inputs, processor, names)
        expected = weighted_mean(model, inputs) if job.get("stage", "sft") == "sft" else None
        loss = step(self, model, inputs, *rest, **named)
        seen["losses"].append([loss.item(), expected])
        seen["model"] = model
        return loss

    Trainer.training_step = training_step
    ENTRIES[job["entry"]](job["arguments"])
    moved = [(value.detach() - first[name]).abs().max().item() for name, value in seen.pop("model").named_parameters()]
    assert all(torch.isfinite(torch.tensor(moved)))
    return {**seen, "moved": max(moved)}


def train_swift(arguments: list[str]) -> None:
    from swift import sft_main

    sft_main(arguments)


def align_swift(arguments: list[str]) -> None:
    from swift import rlhf_main

    rlhf_main(arguments)


def train_llamafactory(arguments: dict[str, Any]) -> None:
    from llamafactory.train.tuner import run_exp

    run_exp(arguments)


ENTRIES = {"swift_sft": train_swift, "swift_rlhf": align_swift, "llamafactory": train_llamafactory}


def describe(inputs: dict[str, Any], processor: Any, names: dict[str, str]) -> list[dict[str, Any]]:
    """Return for each example its text in spans of one weight, and its pictures."""
    found = []
    pictures = split_pictures(inputs, processor)
    answers = inputs.get("labels", inputs["input_ids"])  # a reward model has no labels
    for k, (ids, labels) in enumerate(zip(inputs["input_ids"], answers, strict=True)):
        weights = inputs["loss_scale"][k].tolist() if inputs.get("loss_scale") is not None else [1.0] * len(ids)
        kept = inputs["attention_mask"][k].tolist()
        tokens = [
            (token, weight if label != IGNORED else 0.0)
            for token, label, weight, keep in zip(ids.tolist(), labels.tolist(), weights, kept, strict=True)
            if keep
        ]
        spans = [
            [processor.tokenizer.decode([token for token, _ in group]), round(weight, 6)]
            for weight, group in ((weight, list(each)) for weight, each in groupby(tokens, key=lambda pair: pair[1]))
        ]
        opened = sum(token == processor.tokenizer.convert_tokens_to_ids("<|vision_start|>") for token, _ in tokens)
        found.append({"spans": spans, "pictures": [names[hash_tensor(pictures.pop(0))] for _ in range(opened)]})
    # LLaMA-Factory adds a white picture that nothing attends to, where a batch has none
    assert all(hash_tensor(picture) not in names for picture in pictures)
    return found


def split_pictures(inputs: Any, processor: Any) -> list[Any]:
    """Return the patches of each picture of a batch."""
    if inputs.get("pixel_values") is None:
        return []
    return list(inputs["pixel_values"].split(inputs["image_grid_thw"].prod(1).tolist()))


def weighted_mean(model: Any, inputs: dict[str, Any]) -> float:
    """Return the sum over learned tokens of weight times cross-entropy, over their number."""
    import torch

    known = {*inspect.signature(model.forward).parameters} - {"labels", "logits_to_keep"}
    with torch.no_grad():
        given = {name: value for name, value in inputs.items() if name in known}
        logits = model(**given).logits[:, :-1].float()
    labels = inputs["labels"][:, 1:]
    entropy = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    weights = inputs["loss_scale"][:, 1:] if inputs.get("loss_scale") is not None else torch.ones_like(entropy)
    return float((entropy * weights).sum() / (labels != IGNORED).sum())


def name_pictures(processor: Any, folder: Path) -> dict[str, str]:
    """Return the name of each picture below a folder by the hash of what the processor makes of its file."""
    from PIL import Image

    found = {}
    for path in sorted(folder.rglob("*.*")):
        pixels = processor.image_processor(images=[Image.open(path).convert("RGB")], return_tensors="pt")
        found[hash_tensor(pixels["pixel_values"])] = path.name
    return found


def hash_tensor(tensor: Any) -> str:
    return hashlib.sha256(tensor.detach().float().contiguous().numpy().tobytes()).hexdigest()


def read_verl(job: dict[str, Any]) -> dict[str, Any]:
    """Read prompts with verl's dataset and collate function, and prepare them as its rollouts do."""
    from omegaconf import OmegaConf
    from transformers import AutoProcessor
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    processor = AutoProcessor.from_pretrained(job["model"])
    names = name_pictures(processor, Path(job["images"]))
    config = OmegaConf.create({"max_prompt_length": 4096, "filter_overlong_prompts": True, "cache_dir": job["cache"]})
    dataset = RLHFDataset(job["arguments"], processor.tokenizer, config, processor=processor)
    batch = collate_fn([dataset[k] for k in range(len(dataset))])
    rows = []
    for k, messages in enumerate(batch["raw_prompt"]):
        text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        shown = [
            piece["type"]
            for message in messages
            if isinstance(message["content"], list)
            for piece in message["content"]
        ]
        pictures = asyncio.run(dataset.process_vision_info(messages, 14, config))[0] if "image" in shown else None
        inputs = processor(text=[text], images=pictures, return_tensors="pt")
        row = {"pictures": [names[hash_tensor(each)] for each in split_pictures(inputs, processor)], "text": text}
        kept = {name: batch[name][k] for name in ("data_source", "reward_model", "extra_info", "index", "ability")}
        rows.append({**row, **kept})
    return {"rows": rows}


def read_open_clip(job: dict[str, Any]) -> dict[str, Any]:
    """Read pairs with open_clip's loader: each text, and the name of the file whose pixels came with it."""
    from types import SimpleNamespace

    import torch
    from open_clip_train.data import get_wds_dataset
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    names = {hash_tensor(pil_to_tensor(Image.open(path))): path.name for path in Path(job["images"]).iterdir()}
    args = SimpleNamespace(
        train_data=job["arguments"], train_num_samples=job["samples"], train_data_upsampling_factors=None, seed=0,
        batch_size=1, workers=0, world_size=1, dataset_resampled=False,
    )  # fmt: skip

    def tokenize(text: str) -> Any:
        return torch.tensor([list(text.encode())])

    loader = get_wds_dataset(args, pil_to_tensor, is_train=True, tokenizer=tokenize).dataloader
    return {"rows": [[bytes(text[0].tolist()).decode(), names[hash_tensor(image[0])]] for image, text in loader]}


def read_energon(job: dict[str, Any]) -> dict[str, Any]:
    """Prepare tars with Energon, and read both splits: each example's id, with kind, content and loss of its parts."""
    import subprocess

    import megatron.energon as energon
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    splits = ["--split-parts", "train:train-.*", "--split-parts", "val:validation-.*"]
    prepare = ["prepare", job["arguments"], "--non-interactive", "--sample-type", "CrudeWebdataset", *splits]
    subprocess.run([Path(sys.executable).with_name("energon"), *prepare], check=True)
    names = {hash_tensor(pil_to_tensor(Image.open(path))): path.name for path in Path(job["images"]).iterdir()}

    @energon.stateless
    def cook(sample: Any) -> Any:
        said = []
        for part in sample["json"]["parts"]:
            picture = part["kind"] == "image"
            content = names[hash_tensor((sample[part["image"]] * 255).round().byte())] if picture else part["text"]
            said.append([part["kind"], content, part["loss"]])
        return energon.TextSample(**energon.basic_sample_keys(sample), text=json.dumps([sample["json"]["id"], said]))

    class Encoder(energon.DefaultTaskEncoder):
        cookers = (energon.Cooker(cook),)

    alone = energon.WorkerConfig(rank=0, world_size=1, num_workers=0)
    asked = {"batch_size": 1, "worker_config": alone, "task_encoder": Encoder()}
    once = {"shuffle_buffer_size": None, "max_samples_per_sequence": None, "repeat": False}
    train = energon.get_train_dataset(job["arguments"], **asked, **once)
    val = energon.get_val_dataset(job["arguments"], **asked)
    read = {"train": energon.get_loader(train), "val": energon.get_loader(val)}
    return {split: [json.loads(text) for batch in loader for text in batch.text] for split, loader in read.items()}


READERS = {"verl": read_verl, "open_clip": read_open_clip, "energon": read_energon}

if __name__ == "__main__":
    main(sys.argv[1])
