"""The models on the device that is here: a GPU at full size; processors at a small one, which says nothing of a GPU.

    python benchmarks/devices.py [--only a,b,c,d] [--small] [--rounds 3] [--vllm-python PYTHON] [--json FILE]

a  The embedded model, samples a second: the backend's `stream` with PNG files made, for requests of four batches. It is
   compared with `generate` of the library, so many prompts a call, whose tokens stay tokens (x library); with
   `generate` of the backend, a batch a call (x calls); and with that, one request a call and a batch of one (x one).
   The goal is 10 times at a batch of 256. The backend `embedded` computes in float32, the other two in bf16 where the
   device has it.
b  vLLM: `benchmarks/vllm_flow.py` in a process of its own; wall as a multiple of the bare engine's. The goal is 1.05
   for `stream`, which is what a build waits for; files are not written.
c  Janus with random weights in the size of Janus-Pro-7B, images a second: the backend `transformers` against the loop
   that its authors show, a call of the library's `generate` for a batch, then the decoder. Both make PNG files of one
   full batch, candidates of one prompt. The limit of the memory is w * n / v seconds for a batch: w bytes of weights
   read at each token (blocks, last norm, image head and aligner), n tokens of an image, v bytes a second that a copy on
   the device reads and writes. A second share adds to w the keys and values of image tokens that a token needs on
   average, for the rows with the prompt and those without.
d  OCR and detectors, pictures a second, each on the devices that its runtime can use.

Seeds are fixed. Each way runs once before the clock starts; then ways take turns, and of each the fastest round counts.
Memory is the most that torch held on the GPU during a way. What cannot run says why; a way that fails does so alone,
and the exit status is 1.

Not covered: several GPUs; the quality of what is made; trained weights in c and of the detector in d, where random ones
cost the same.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.vllm_flow import list_requests  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.errors import first_line  # noqa: E402
from datagen.generation.batches import is_out_of_memory  # noqa: E402
from datagen.records import Request, Sample  # noqa: E402

Way = Callable[[], int]
"""Does the work once and returns how many things it made."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: batches of a and c, requests of b, pictures of d and their side."""

    name: str
    batches: tuple[int, ...]
    vllm_requests: int
    vllm_slots: int
    janus_batches: tuple[int, ...]
    pictures: int
    side_px: int
    copy_bytes: int


FULL = Size("full", (1, 16, 64, 256), 4096, 256, (16, 64), 32, 1024, 1 << 30)
SMALL = Size("small", (2,), 64, 8, (2,), 4, 96, 1 << 24)
COPIES = 16
"""Copies in a row, so that the start of one does not count."""
MOST_TOKENS = 128
"""Tokens of prompt, thought and image together in a; the default of the backend."""


@dataclass(frozen=True, slots=True)
class Place:
    """A device as torch names it, what it is, and the dtype of models on it."""

    device: str
    name: str
    dtype: str

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU of CUDA, or of ROCm, which torch calls the same."""
        return self.device == "cuda"


@dataclass(slots=True)
class Row:
    """One way: what it made a second, compared with others; or why it did not run."""

    part: str
    way: str
    batch: int | None = None
    unit: str = ""
    per_second: float | None = None
    compared: dict[str, float] = field(default_factory=dict)
    peak_gb: float | None = None
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Timed:
    """Things a second in the fastest round, and the most memory on the GPU in GB, None without one."""

    per_second: float
    peak_gb: float | None


def find_place() -> Place:
    import torch

    if not torch.cuda.is_available():
        return Place("cpu", f"{os.cpu_count()} processors, {torch.get_num_threads()} threads", "float32")
    half = torch.cuda.is_bf16_supported(including_emulation=False)
    return Place("cuda", torch.cuda.get_device_name(), "bfloat16" if half else "float32")


def time_ways(ways: dict[str, Way], place: Place, rounds: int) -> dict[str, Timed | str]:
    """Return what each way takes, or why it stopped; ways take turns, after a round that does not count."""
    import torch

    found: dict[str, list[Timed] | str] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            past = found[name]
            if isinstance(past, str):
                continue
            try:
                if place.is_gpu:
                    torch.cuda.synchronize()
                    torch.cuda.reset_peak_memory_stats()
                started = time.perf_counter()
                made = run()
                if place.is_gpu:
                    torch.cuda.synchronize()
                seconds = time.perf_counter() - started
            except Exception as error:  # noqa: BLE001 - one way that fails must not cost the others their time on a GPU
                found[name] = tell_failure(error)
                free_memory()
                continue
            print(f"{name}, round {number}: {made} in {seconds:.2f} s", file=sys.stderr, flush=True)
            if number:
                past.append(Timed(made / seconds, torch.cuda.max_memory_allocated() / 1e9 if place.is_gpu else None))
    return {
        name: timed if isinstance(timed, str) else max(timed, key=lambda each: each.per_second)
        for name, timed in found.items()
    }


def tell_failure(error: BaseException) -> str:
    if is_out_of_memory(error):
        return f"out of memory: {first_line(error)}"
    return f"failed: {type(error).__name__}: {first_line(error)}"


def free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def to_rows(
    part: str, unit: str, batch: int | None, timed: dict[str, Timed | str], bases: dict[str, str] | None = None
) -> list[Row]:
    """Return one row a way; `bases` are the ways that the others are compared with, by the name of the comparison."""
    rows = []
    for way, each in timed.items():
        if isinstance(each, str):
            rows.append(Row(part, way, batch, unit, skipped=each))
            continue
        others = {name: timed[base] for name, base in (bases or {}).items() if base in timed}
        compared = {
            name: each.per_second / other.per_second for name, other in others.items() if isinstance(other, Timed)
        }
        rows.append(Row(part, way, batch, unit, each.per_second, compared, each.peak_gb))
    return rows


def measure_embedded(place: Place, size: Size, rounds: int) -> Iterator[Row]:
    """Yield the rows of a."""
    from datagen.backends import transformers as joint
    from datagen.embedded.backend import TAKEN, EmbeddedBackend, expected_length
    from datagen.embedded.options import SHIPPED, EmbeddedOptions
    from datagen.workshop.bench import make_library

    def open_backend(batch: int) -> EmbeddedBackend:
        return EmbeddedBackend(EmbeddedOptions(device=place.device, batch_size=batch, max_tokens=MOST_TOKENS))

    alone, few = open_backend(1), list_requests(16 if size is FULL else 2)
    one = "embedded: generate, one request a call"
    for batch in size.batches:
        backend, vocab = open_backend(batch), alone.vocab
        requests = sorted(list_requests(max(TAKEN * batch, len(few))), key=expected_length, reverse=True)
        prompts = [vocab.drawing_ids(each.prompt.text, "think") for each in requests]
        seeds = [each.seed for each in requests]
        plain = make_library(vocab, prompts, batch, MOST_TOKENS, device=place.device, dtype=place.dtype)
        options = {"model": str(SHIPPED), "device": place.device, "dtype": place.dtype, "batch_size": batch}
        other = joint.build({**options, "max_tokens": 64})
        stream, calls = "embedded: stream", "embedded: generate, a batch a call"
        library = f"library: generate in {place.dtype}, tokens alone"
        ways: dict[str, Way] = {
            library: lambda p=plain: p(0),
            calls: lambda b=batch, r=requests, k=backend: sum(count_made(k.generate(part)) for part in cut(r, b)),
            stream: lambda r=requests, k=backend: count_made(k.stream(iter(r))),
            "embedded: tokens alone": lambda p=prompts, s=seeds, k=backend: len(k.write(p, s)),
            f"transformers: stream in {place.dtype}": lambda r=requests, k=other: count_made(k.stream(iter(r))),
            one: lambda: sum(count_made(alone.generate([each])) for each in few),
        }
        bases = {"x library": library, "x calls": calls, "x one": one}
        yield from to_rows("a", "samples", batch, time_ways(ways, place, rounds), bases)


def cut(requests: Sequence[Request], size: int) -> list[Sequence[Request]]:
    return [requests[start : start + size] for start in range(0, len(requests), size)]


def count_made(answers: Any) -> int:
    """Return how many answers came; those with a fault in their form took as long as the others."""
    return sum(answer is not None for answer in answers)


def measure_vllm(place: Place, size: Size, rounds: int, python: str) -> Iterator[Row]:
    """Yield the rows of b, or one that says why there are none."""
    probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    if subprocess.run([python, "-c", probe], check=False).returncode:
        yield Row("b", "vLLM", skipped="vllm is not installed; --vllm-python names a Python that has it")
        return
    numbers = {"--requests": size.vllm_requests, "--slots": size.vllm_slots, "--shard": size.vllm_slots}
    given = [str(each) for pair in {**numbers, "--rounds": rounds, "--dtype": place.dtype}.items() for each in pair]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [python, str(ROOT / "benchmarks" / "vllm_flow.py"), *given, "--json", str(file)]
        done = subprocess.run(
            command + (["--graphs"] if place.is_gpu else []),
            env={"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ},
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode:
            yield Row(
                "b", "vLLM", skipped=f"failed: vllm_flow.py ended with {done.returncode}; its own words are above"
            )
            return
        told = json.loads(file.read_text(encoding="utf-8"))
    for each in told["rows"]:
        rate = told["requests"] / each["wall_s"]
        yield Row("b", each["way"], told["slots"], "samples", rate, {"wall x bare": each["wall_of_bare"]})


def configure_janus_7b(ids: dict[str, int]) -> Any:
    """Return the configuration of Janus-Pro-7B for a vocabulary of which it knows the ids."""
    from transformers import JanusConfig, JanusVisionConfig, JanusVQVAEConfig, LlamaConfig

    text = LlamaConfig(
        vocab_size=102_400,
        hidden_size=4096,
        intermediate_size=11_008,
        num_hidden_layers=30,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=16_384,
        pad_token_id=ids["<pad>"],
        bos_token_id=ids["<bos>"],
        eos_token_id=ids["<eos>"],
    )
    return JanusConfig(
        text_config=text,
        vision_config=JanusVisionConfig(projection_dim=4096),
        vq_config=JanusVQVAEConfig(projection_dim=4096, image_token_embed_dim=4096),
        image_token_id=ids["<image_placeholder>"],
        tie_word_embeddings=False,
    )


def measure_janus(place: Place, size: Size, rounds: int) -> Iterator[Row]:
    """Yield the rows of c."""
    from datagen.backends import transformers
    from tests.helpers.tiny_models import configure_janus, save_janus_of

    speed = measure_copy(place, size.copy_bytes)
    yield Row("c", "copy on the device", None, "GB read and written", speed / 1e9)
    configure = configure_janus_7b if size is FULL else configure_janus
    with tempfile.TemporaryDirectory() as name:
        folder = save_janus_of(Path(name), configure, place.device, place.dtype)
        for batch in size.janus_batches:
            free_memory()
            options = {"model": str(folder), "device": place.device, "dtype": place.dtype, "batch_size": batch}
            backend: Any = transformers.build(options)
            family, plain = backend.family, "library: generate and decode"
            # Candidates of one prompt fill one batch; the tokens here are bytes, so that prompts would differ in shape.
            (first,) = list_requests(1)
            requests = [Request(first.prompt, k, first.seed + k, "direct") for k in range(batch)]
            ways: dict[str, Way] = {
                plain: lambda r=requests, f=family: draw_plainly(f.model, f.processor, r),
                "transformers: stream": lambda r=requests, k=backend: count_drawn(k.stream(iter(r))),
            }
            rows = to_rows("c", "images", batch, time_ways(ways, place, rounds), {"x library": plain})
            for row in rows:
                if row.per_second:
                    seconds = batch / row.per_second
                    weights, cache = count_step_bytes(family.model, batch)
                    least = weights * family.codes / speed
                    row.compared["of the limit"] = least / seconds
                    row.compared["with cache"] = (weights + cache) * family.codes / speed / seconds
            yield from rows
            del backend, family, ways


def measure_copy(place: Place, size_bytes: int) -> float:
    """Return how many bytes a second a copy within the device's memory reads and writes, the fastest of ten."""
    import torch

    source = torch.ones(size_bytes // 4, dtype=torch.float32, device=place.device)
    target = torch.empty_like(source)

    def copy() -> int:
        for _ in range(COPIES):
            target.copy_(source)
        return COPIES

    timed = time_ways({"copy": copy}, place, rounds=10)["copy"]
    if isinstance(timed, str):
        raise RuntimeError(timed)
    return 2 * source.nbytes * timed.per_second


def count_step_bytes(model: Any, batch: int) -> tuple[int, int]:
    """Return the bytes of weights, and of keys and values on average, that a token of a batch of images needs."""
    inner, text = model.model, model.config.text_config
    read = [inner.language_model.layers, inner.language_model.norm, inner.generation_head, inner.generation_aligner]
    weights = sum(weight.nbytes for module in read for weight in module.parameters())
    tokens = model.model.vision_model.config.num_image_tokens / 2
    width = text.num_key_value_heads * text.head_dim
    each = 2 * text.num_hidden_layers * width * model.dtype.itemsize
    return weights, int(2 * batch * tokens * each)  # twice the batch: with and without the prompt


def draw_plainly(model: Any, processor: Any, requests: Sequence[Request]) -> int:
    """Draw one image a request as the authors of Janus show it, in one call, and return how many PNG files came."""
    import numpy as np
    import torch
    from PIL import Image
    from transformers import GenerationConfig

    torch.manual_seed(0)
    own = model.generation_config
    config = GenerationConfig(
        pad_token_id=own.pad_token_id,
        bos_token_id=own.bos_token_id,
        eos_token_id=own.eos_token_id,
        generation_kwargs=own.generation_kwargs,
        do_sample=True,
        top_k=0,
        guidance_scale=5.0,
    )
    messages = [[{"role": "user", "content": [{"type": "text", "text": each.prompt.text}]}] for each in requests]
    texts = [processor.apply_chat_template(each, add_generation_prompt=True) for each in messages]
    inputs = processor(text=texts, generation_mode="image", padding=True, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        codes = model.generate(**inputs, generation_mode="image", generation_config=config)
        pixels = model.decode_image_tokens(codes).float().cpu().numpy()
    for picture in ((pixels + 1) * 127.5).clip(0, 255).astype(np.uint8):
        Image.fromarray(picture).save(io.BytesIO(), "PNG")
    return len(pixels)


def count_drawn(answers: Any) -> int:
    """Return how many images came; raises RuntimeError for a failure, which takes no time."""
    made = [answer for answer in answers if answer is not None]
    if failed := [answer for answer in made if not isinstance(answer, Sample)]:
        raise RuntimeError(failed[0].error)
    return len(made)


def measure_eyes(place: Place, size: Size, rounds: int) -> Iterator[Row]:
    """Yield the rows of d."""
    from benchmarks.encoders import draw_images
    from datagen.vision.detectors import learned, open_vocabulary, pictograms
    from tests.helpers.tiny_vision import save_full_owl, save_owl

    images = draw_images(size.pictures, size.side_px)

    def look(see: Callable[[bytes], object]) -> Way:
        return lambda: sum(see(image) is not None for image in images)

    def measure(way: str, see: Callable[[bytes], object]) -> list[Row]:
        return to_rows("d", f"pictures of {size.side_px} px", 1, time_ways({way: look(see)}, place, rounds))

    yield from measure("detector pictograms, processor", pictograms.build({}))
    yield from measure("detector learned, processor", learned.build({}))
    names = frozenset({"star", "red car", "dog"})
    with tempfile.TemporaryDirectory() as name:
        folder = save_full_owl(Path(name)) if size is FULL else save_owl(Path(name))
        for device in (place.device,) if size is FULL else dict.fromkeys(("cpu", place.device)):
            detect = open_vocabulary.build({"model": str(folder), "device": device})
            where = "GPU" if device == "cuda" else "processor"
            yield from measure(f"detector open_vocabulary (OWLv2), {where}", lambda image, d=detect: d(image, names))
    for device in ("cpu", "cuda"):
        way = f"OCR, {'GPU' if device == 'cuda' else 'processor'}"
        reason = explain_ocr(device)
        yield from [Row("d", way, skipped=reason)] if reason else measure(way, open_ocr(device))


def explain_ocr(device: str) -> str:
    """Return why the OCR cannot run on a device, or nothing."""
    for library in ("rapidocr", "onnxruntime"):
        if importlib.util.find_spec(library) is None:
            return f"{library} is not installed"
    import onnxruntime

    known = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in known:
        return f"onnxruntime here runs on {', '.join(known)}; a GPU needs onnxruntime-gpu"
    return ""


def open_ocr(device: str) -> Callable[[bytes], object]:
    """Return the OCR of scorers, on the processor in one thread or on a GPU. Raises RuntimeError for another device."""
    from datagen.vision import ocr

    if device == "cpu":
        return ocr.build()
    import onnxruntime
    from rapidocr import RapidOCR

    onnxruntime.preload_dlls()
    # Lines have all widths, and for each the default tries every algorithm of cuDNN first.
    choice = {"use_cuda": True, "cuda_ep_cfg.cudnn_conv_algo_search": "HEURISTIC"}
    params = {f"EngineConfig.onnxruntime.{key}": value for key, value in choice.items()}
    read = ocr.Reader(RapidOCR(params={"Det.limit_side_len": 256, "Global.log_level": "error", **params}))
    used = read._recognizer.session.session.get_providers()
    if used[0] != "CUDAExecutionProvider":
        raise RuntimeError(f"onnxruntime took {used[0]}")
    return read


PLANS = {
    "a": f"the embedded model in float32 and bf16, batches of {', '.join(map(str, FULL.batches))}",
    "b": f"vLLM with compiled steps, {FULL.vllm_requests:,} requests in {FULL.vllm_slots} slots, in bf16",
    "c": f"Janus in the size of Janus-Pro-7B in bf16 (15 GB), batches of {', '.join(map(str, FULL.janus_batches))}",
    "d": f"OCR and detectors on {FULL.pictures} pictures of {FULL.side_px} px, OWLv2 in the size of its base model",
}
"""What a GPU is asked at full size, by part."""


def measure_part(part: str, place: Place, size: Size, rounds: int, python: str) -> list[Row]:
    """Return the rows of a part; those that are there when it fails are kept."""
    rows: list[Row] = []
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "a": lambda: measure_embedded(place, size, rounds),
        "b": lambda: measure_vllm(place, size, rounds, python),
        "c": lambda: measure_janus(place, size, rounds),
        "d": lambda: measure_eyes(place, size, rounds),
    }
    try:
        for row in parts[part]():
            rows.append(row)
    except ImportError as error:
        rows.append(Row(part, PLANS[part], skipped=f"a library is missing: {first_line(error)}"))
    except Exception as error:  # noqa: BLE001 - nor a part the other parts
        rows.append(Row(part, PLANS[part], skipped=tell_failure(error)))
    free_memory()
    return rows


def show_part(part: str, rows: Sequence[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row.compared))
    cells = [
        [row.way, row.batch, row.per_second, row.unit, *(row.compared.get(name) for name in names), row.peak_gb]
        for row in rows
        if not row.skipped
    ]
    if cells:
        print_table(["way", "batch", "a second", "of", *names, "GB of GPU"], cells, part)
    for row in rows:
        if row.skipped:
            print(f"{row.part}: {row.way}: not measured: {row.skipped}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PLANS), metavar="a,b", help="parts, separated by commas")
    parser.add_argument("--small", action="store_true", help="the size for processors, on any device")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vllm-python", default=sys.executable, metavar="PYTHON", help="an environment with vLLM")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := sorted(set(parts) - set(PLANS)):
        parser.error(f"--only: no part {', '.join(unknown)}; there are {', '.join(PLANS)}")
    place = find_place()
    size = FULL if place.is_gpu and not options.small else SMALL
    print(f"device: {place.name}; models in {place.dtype}; size: {size.name}")
    if size is SMALL:
        print("these figures say nothing of a GPU, where it would measure:")
        for part in parts:
            print(f"  {part}: {PLANS[part]}")
    rows: list[Row] = []
    for part in parts:
        rows += (made := measure_part(part, place, size, options.rounds, options.vllm_python))
        show_part(part, made)
        if options.json:
            told = {"device": asdict(place), "size": size.name, "rows": [asdict(row) for row in rows]}
            options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return int(any(row.skipped.startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
