"""TRL 1.16: a few real steps of its trainers, what they learn and what they see. It runs beside datagen."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from format_cases import ask, make_example, say, show, write
from lessons import LESSONS, ONE, PICTURE, THREE, WHOLE, prefer
from PIL import Image

from datagen.export.examples import Example
from tests.helpers.tiny_llava import save_tiny_llava

trl = pytest.importorskip("trl")
PATCHES = 4
"""Tokens of a picture of the tiny LLaVA."""
TEXTS = [
    make_example(f"t{k}", ask(f"{k} stars"), say("plan", 0.5 + k), show(ONE, 1.0), rewards=[1.0]) for k in range(4)
]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def llama(llava: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text model of the tiny LLaVA alone, with its tokenizer."""
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(AutoConfig.from_pretrained(llava).text_config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(llava).save_pretrained(folder)
    return folder


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each step of training is given."""
    from transformers import Trainer

    seen: list[dict[str, Any]] = []
    step = Trainer.training_step

    def training_step(self: Any, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        seen.append(dict(inputs) if isinstance(inputs, Mapping) else {"examples": inputs})
        loss = step(self, model, inputs, *rest, **named)
        seen[-1]["loss"] = loss.item()
        return loss

    monkeypatch.setattr(Trainer, "training_step", training_step)
    return seen


def load_processor(model: Path) -> Any:
    """The processor of a model, or the tokenizer of one that reads texts alone."""
    from transformers import AutoProcessor, AutoTokenizer

    kind = AutoProcessor if (model / "processor_config.json").exists() else AutoTokenizer
    return kind.from_pretrained(model)


def train(kind: str, model: Path, examples: list[Example], folder: Path, settings: Any = None, **options: Any) -> Any:
    """Export, load as TRL's users do, and train an epoch. Raises AssertionError if no parameter changed."""
    from datasets import load_dataset

    write("chat", examples, folder / "data", **options)
    common = {"per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True, "save_strategy": "no"}
    common |= {"learning_rate": 1e-3, "num_train_epochs": 1, "bf16": False, "gradient_checkpointing": False}
    words, given = ({**common, **(settings or {})}, {})
    for name in ("reward_funcs",):
        given |= {name: words.pop(name)} if name in words else {}
    trainer = getattr(trl, f"{kind}Trainer")(
        model=str(model),
        args=getattr(trl, f"{kind}Config")(output_dir=str(folder / "out"), **words),
        train_dataset=load_dataset(str(folder / "data"), split="train"),
        processing_class=load_processor(model),
        **given,
    )
    before = [value.detach().clone() for value in trainer.model.parameters()]
    trainer.train()
    assert any((value.detach() != old).any() for value, old in zip(trainer.model.parameters(), before, strict=True))
    return trainer


def read(batches: list[dict[str, Any]], model: Path) -> list[tuple[str, str, int]]:
    """(what is read, what is learned, pictures) of each example, in the order of what is read."""
    processor = load_processor(model)
    tokenizer = getattr(processor, "tokenizer", processor)
    rows = []
    for batch in batches:
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            learned = labels != -100
            texts = [tokenizer.decode(ids[chosen & (mask == 1)]) for chosen in (~learned, learned)]
            rows.append(
                (texts[0].replace("<image>" * PATCHES, "<image>"), texts[1], texts[0].count("<image>") // PATCHES)
            )
    return sorted(rows)


def test_answers_alone_are_learned_and_pictures_arrive(llava: Path, batches: Any, tmp_path: Path) -> None:
    import torch

    train("SFT", llava, LESSONS, tmp_path)
    asked = "user: zwei «Sterne» 星"
    assert read(batches, llava) == sorted(
        [
            (f"{asked}assistant: ", "plan", 0),
            (f"{asked}\n\nplan<image>assistant: ", "ich sehe", 1),
            (f"{asked}\n\nplan<image>ich seheassistant: ", "besser so", 1),
            ("user: <image>Was ist das?assistant: ", "ein Stern", 1),
            ("user: ein Sternassistant: ", "so", 0),
        ]
    )
    processor = load_processor(llava)
    expected = [
        processor.image_processor(images=[Image.open(io.BytesIO(image))], return_tensors="pt")["pixel_values"][0]
        for image in (ONE, ONE, THREE)
    ]
    seen = [picture for batch in batches for picture in batch.get("pixel_values", ())]
    assert len(seen) == len(expected)
    assert all(any(torch.equal(picture, each) for each in expected) for picture in seen)


def test_one_list_is_learned_whole_but_for_its_padding(llava: Path, batches: Any, tmp_path: Path) -> None:
    train("SFT", llava, [WHOLE], tmp_path, layout="messages")
    assert "user: zwei «Sterne» 星assistant: plan" in [learned for _, learned, _ in read(batches, llava)]


def test_a_text_model_trains_on_a_split_without_images(llama: Path, batches: Any, tmp_path: Path) -> None:
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    trainer = train("SFT", llama, TEXTS, tmp_path)
    assert "images" not in trainer.train_dataset.column_names
    assert [learned for _, learned, _ in read(batches, llama)] == ["plan"] * 4
    logits = AutoModelForCausalLM.from_pretrained(llama)(input_ids=batches[0]["input_ids"]).logits[:, :-1]
    labels = batches[0]["labels"][:, 1:]
    assert batches[0]["loss"] == pytest.approx(cross_entropy(logits.transpose(1, 2), labels).item(), rel=1e-3)


@pytest.mark.parametrize("kind", ["DPO", "KTO", "Reward"])
def test_preferences_between_texts_train_a_text_model(kind: str, llama: Path, batches: Any, tmp_path: Path) -> None:
    train(kind, llama, [prefer(images=False)] * 4, tmp_path)
    assert batches


def test_a_preference_sees_the_picture_of_its_prompt(llava: Path, batches: Any, tmp_path: Path) -> None:
    pair = prefer(images=False)
    seeing = Example(pair.id, pair.task, pair.group, (show(THREE), *pair.parts), pair.rejected, pair.facts)
    train("DPO", llava, [seeing] * 2, tmp_path)
    assert len(batches[0]["pixel_values"]) == 4, "of the chosen and of the rejected answers"


def test_grpo_answers_each_prompt_once_and_its_reward_reads_the_facts(
    llama: Path, batches: Any, tmp_path: Path
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def reward(prompts: Any, completions: Any, facts: Any, **_: Any) -> list[float]:
        asked.extend((prompt[0]["content"], json.loads(fact)) for prompt, fact in zip(prompts, facts, strict=True))
        return [float(len(completion[0]["content"])) + k for k, completion in enumerate(completions)]

    settings = {"reward_funcs": reward, "num_generations": 2, "max_completion_length": 8}
    again = [Example(f"{each.id} again", each.task, each.group, each.parts) for each in TEXTS]
    train(
        "GRPO",
        llama,
        [each for pair in zip(TEXTS, again, strict=True) for each in pair],
        tmp_path,
        settings,
        layout="prompt",
    )
    assert {text for text, _ in asked} == {f"{k} stars" for k in range(4)}
    assert all(facts == {"weakness": "counting", "rewards": [1.0]} for _, facts in asked)


def test_grpo_sees_the_pictures_of_a_prompt(llava: Path, batches: Any, tmp_path: Path) -> None:
    def reward(completions: Any, **_: Any) -> list[float]:
        return [float(k) for k, _ in enumerate(completions)]

    asked = [make_example(f"q{k}", show(image), ask("What?"), say("x", 1.0)) for k, image in enumerate((ONE, THREE))]
    settings = {"reward_funcs": reward, "num_generations": 2, "max_completion_length": 8}
    train("GRPO", llava, asked, tmp_path, settings, layout="prompt")
    assert all(each["images"] for batch in batches for each in batch["examples"])


def test_what_only_teaches_a_picture_is_left_out(tmp_path: Path) -> None:
    from datasets import load_dataset

    write("chat", [PICTURE, WHOLE], tmp_path)
    assert load_dataset(str(tmp_path), split="train")["id"][:] == ["whole-1", "whole-2", "whole-3"]
