#!/usr/bin/env bash
# ms-swift 4.6.0: with the template `llava1_5_hf`, weights of a row with an image are shorter than its tokens.
#
# Guess: `loss_scale` is stretched over the tokens of an image like `labels`, as the templates of Qwen do.
# Seen: one `<image>` becomes four tokens and four labels here, 576 in the real model, but stays one weight. Every weight
# after an image stands too far to the left, and the loss is refused with an AssertionError where all logits are kept.
# Who meets it: whoever trains LLaVA 1.5 with `loss_scale` and `--is_binary_loss_scale false`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 2>/dev/null
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 ms-swift==4.6.0 2>/dev/null
cat >"$folder/run.py" <<'PY'
import sys
from pathlib import Path

from PIL import Image
from swift import get_processor, get_template
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import CLIPImageProcessor, LlavaConfig, LlavaProcessor, PreTrainedTokenizerFast

folder = Path(sys.argv[1])
special = ["<pad>", "<s>", "</s>", "<image>"]
words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
raw = Tokenizer(models.BPE(vocab={word: k for k, word in enumerate(words)}, merges=[]))
raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
raw.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, extra_special_tokens={"image_token": "<image>"}, **names)
pictures = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
how = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
LlavaProcessor(image_processor=pictures, tokenizer=tokenizer, **how).save_pretrained(folder / "model")
LlavaConfig(image_token_id=3, architectures=["LlavaForConditionalGeneration"]).save_pretrained(folder / "model")
Image.new("RGB", (28, 28), "red").save(folder / "red.png")
processor = get_processor(str(folder / "model"), model_type="llava1_5_hf", use_hf=True)
template = get_template(processor, is_binary_loss_scale=False)
template.set_mode("train")
answer = {"role": "assistant", "content": "a star", "loss": True, "loss_scale": 0.5}
row = {"messages": [{"role": "user", "content": "<image>What?"}, answer], "images": [str(folder / "red.png")]}
made = template.encode(row)
print("RESULT", {name: len(made[name]) for name in ("input_ids", "labels", "loss_scale")})
assert len(made["input_ids"]) == len(made["labels"]) == len(made["loss_scale"]) + 3, made
PY
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/run.py" "$folder" 2>&1 | tee "$folder/out" | grep RESULT
! grep -q Traceback "$folder/out"
