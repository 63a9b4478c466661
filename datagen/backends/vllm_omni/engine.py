"""vLLM-Omni as a backend: a thought and a picture for each request, one request after the other.

There is one engine. It closes itself when a request fails, and is restarted for the next request.

`Omni.generate` takes one set of sampling parameters for all prompts of a call, so each request is a call of its own to
have its own seed. A failure then costs one request, and no other has to be sent again. If the engine reports that it
died, which need not be the request's fault, the same request is sent once more.

Models have one of two layouts. With two stages, a thinker writes text and hands its cache to the image stage; with one,
the image stage does both, and `extra_args` tell it to think. All parameters start from the engine's defaults.

The engine returns an output for each stage that produces text or a picture. The thought is the text of the thinker's
output or, with one stage, `multimodal_output["metadata"]["text"]["think_text"]` of the picture's output.

Not covered: an engine that neither answers nor dies; stop such a run by hand, and resume it.
"""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from datagen.errors import BackendError, first_line
from datagen.generation.options import BackendOptions
from datagen.pictures import encode_picture
from datagen.records import Failure, Mode, Request, Sample, Segment


class RequestError(Exception):
    """One request failed for good; the message is the reason."""


class Engine:
    """Holds a running `vllm_omni.Omni`.

    `restarts` counts all restarts. `hands_on_early` means that the picture depends on the prompt alone, whatever the
    thinker writes.
    """

    def __init__(self, options: OmniOptions) -> None:
        self.options = options
        self.restarts = 0
        self._left = options.restarts
        self._last_reason = ""
        self._omni: Any = self._start()
        self.hands_on_early = _hands_on_early(self._omni)
        self.think_template = find_think_template(options)

    def ask(self, request: Request) -> list[Any]:
        """Return the `OmniRequestOutput`s of one request.

        Raises RequestError when the request fails, BackendError when the engine cannot or may not be restarted.
        """
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        failures = (EngineGenerateError, RuntimeError, ValueError, TypeError, LookupError, OSError)
        for is_last in (False, True):
            try:
                return self._call(request)
            except EngineDeadError as error:
                self._last_reason = first_line(error)[:300]
                if is_last:
                    raise RequestError(f"the engine died of it twice: {self._last_reason}") from error
            except failures as error:
                self._last_reason = first_line(error)[:300]
                raise RequestError(self._last_reason) from error
        raise AssertionError("the last turn returns or raises")

    def _call(self, request: Request) -> list[Any]:
        omni = self._revive()
        template = self.think_template if request.mode == "think" else self.options.template
        prompt = make_prompt(template, self.options, request)
        params = make_params(omni.default_sampling_params_list, self.options, request, self.hands_on_early)
        outputs: list[Any] | None = None
        try:
            outputs = omni.generate([prompt], params, py_generator=False, use_tqdm=False)
            self._left = self.options.restarts
            return outputs
        finally:
            if outputs is None:
                self._omni = None
                omni.close()  # errors found before it begins leave it open; closing twice is harmless

    def _revive(self) -> Any:
        """Return the running engine, restarting it as long as that is allowed."""
        if self._omni is None:
            if self._left == 0:
                what = f"vLLM-Omni failed more than `restarts` ({self.options.restarts}) times in a row"
                hint = f"the last reason: {self._last_reason}; what was answered is kept"
                raise BackendError(what, where=self.options.model, hint=hint)
            self._left -= 1
            self.restarts += 1
            self._omni = self._start()
        return self._omni

    def _start(self) -> Any:
        options, timeout = self.options, self.options.init_timeout_seconds
        given: dict[str, Any] = {"init_timeout": timeout, "stage_init_timeout": timeout}
        if options.deploy_config is not None:
            given["deploy_config"] = options.deploy_config
        try:
            return importlib.import_module("vllm_omni").Omni(model=options.model, **{**given, **options.engine})
        except (ValueError, RuntimeError, OSError, TypeError) as error:
            what = f"vLLM-Omni cannot start the model: {first_line(error)[:300]}"
            hint = (
                "are model and deploy_config right, and does it fit? see `engine:` for any argument of vllm_omni.Omni"
            )
            raise BackendError(what, where=options.model, hint=hint) from error


def _hands_on_early(omni: Any) -> bool:
    """Tell whether the thinker hands its cache on before it writes, so that the image stage sees no thought."""
    pipeline = omni.engine.pipeline_config
    stages = pipeline.stages if pipeline is not None else ()
    handed_on = [(stage.omni_kv_config or {}).get("kv_transfer_criteria") or {} for stage in stages]
    return any(criteria.get("type") == "prefill_finished" for criteria in handed_on)


ENGINE = "vllm_omni/1"


class OmniBackend:
    """Generates samples with an offline engine of vLLM-Omni.

    The switch is `forced` in every mode: the engine runs its stages in order, whatever the model writes. A sample
    depends on its own prompt and seed, never on other requests.
    """

    name = "vllm_omni"
    lexicon = "everyday"

    def __init__(self, options: OmniOptions) -> None:
        self.options = options
        self.engine = Engine(options)
        self.settings = {**options.describe(), "think_template": self.engine.think_template}

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request, in order; errors as in `stream`."""
        return (answer for answer in self.stream(iter(requests)) if answer is not None)

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request, in order, and take the next when the last is answered.

        Raises BackendError for a mode that the engine does not support, and after more than `restarts` restarts.
        """
        for request in requests:
            if request is None:
                yield None
                continue
            self._check_mode(request.mode)
            yield self._make(request)

    def _make(self, request: Request) -> Sample | Failure:
        try:
            segments, finish = read_outputs(self.engine.ask(request), thinks=request.mode == "think")
        except (RequestError, AnswerError) as error:
            return Failure.unanswered(request, str(error))
        return Sample.make(request, segments, engine=ENGINE, switch="forced", finish=finish, settings=self.settings)

    def _check_mode(self, mode: Mode) -> None:
        if mode == "reflect":
            hint = "start `vllm serve MODEL --omni` and use the backend openai, or mode: think"
            raise BackendError("vllm_omni gives one picture an answer and cannot reflect", where="mode", hint=hint)
        if mode == "think" and self.engine.hands_on_early:
            what = "with this deploy_config the picture is generated without the thought"
            hint = "for BAGEL: deploy_config: bagel_think.yaml"
            raise BackendError(what, where=self.options.deploy_config or self.options.model, hint=hint)


NOT_OF_A_SAMPLE = {"init_timeout_seconds", "restarts"}
"""Options of running the engine, which do not change what it writes."""


class OmniOptions(BackendOptions):
    """Model, layout of its stages, and sampling; the defaults are for BAGEL.

    `deploy_config` is a file, or the name of one that vLLM-Omni ships; null takes the model's own, which for BAGEL
    cannot think. `height` and `width` are pixels. `temperature` and `max_tokens` apply to the thought; if the image
    stage thinks by itself (`bagel_single_stage.yaml`), no seed reaches the thought, and it is always the likeliest one.
    `extra_args` are further arguments of the image stage (`cfg_text_scale: 4.0`, …), `engine` further arguments of
    `vllm_omni.Omni`. `restarts` bounds the restarts with no answer between them. `think_template: null` takes what
    BAGEL's authors write before the prompt.
    """

    model: str = Field(min_length=1)
    deploy_config: str | None = "bagel_think.yaml"
    height: int | None = Field(None, ge=16, le=8192)
    width: int | None = Field(None, ge=16, le=8192)
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    temperature: float = Field(0.3, ge=0, le=5)
    max_tokens: int = Field(1000, ge=1, le=32_768)
    extra_args: dict[str, Any] = Field(default_factory=dict)
    template: str = "<|im_start|>{prompt}<|im_end|>"
    think_template: str | None = None
    init_timeout_seconds: int = Field(600, ge=1)
    restarts: int = Field(4, ge=0, le=100)
    engine: dict[str, Any] = Field(default_factory=dict)

    @field_validator("template", "think_template")
    @classmethod
    def _with_prompt(cls, value: str | None) -> str | None:
        if value is not None and "{prompt}" not in value:
            raise ValueError("a template says where the prompt goes: {prompt}")
        return value

    def describe(self) -> dict[str, Any]:
        """Return the settings that, with a seed, decide a sample; they are stored with it."""
        return self.model_dump(exclude=NOT_OF_A_SAMPLE)


def find_think_template(options: OmniOptions) -> str:
    """Return the template of mode `think`: the recipe's, else that of BAGEL's authors."""
    if options.think_template is not None:
        return options.think_template
    bagel = importlib.import_module("vllm_omni.model_executor.stage_input_processors.bagel")
    return f"<|im_start|>{bagel.GEN_THINK_SYSTEM_PROMPT}<|im_end|>{options.template}"


def make_prompt(template: str, options: OmniOptions, request: Request) -> dict[str, Any]:
    """Return the prompt of one request."""
    asked: dict[str, Any] = {"prompt": template.replace("{prompt}", request.prompt.text), "modalities": ["image"]}
    if negative := options.extra_args.get("negative_prompt"):
        asked["negative_prompt"] = negative  # the thinker reads it, and never sees extra_args
    return asked


def make_params(defaults: Sequence[Any], options: OmniOptions, request: Request, hands_on_early: bool) -> list[Any]:
    """Return the sampling parameters of each stage: copies of the engine's, changed, with the seed of the request.

    `hands_on_early` means that the thinker hands its cache on before it writes, and then stops by itself.
    """
    drawing = importlib.import_module("vllm_omni.inputs.data").OmniDiffusionSamplingParams
    thinks = request.mode == "think"
    params = [copy.deepcopy(stage) for stage in defaults]
    for stage in params:
        stage.seed = request.seed
        if not isinstance(stage, drawing):
            _set_writing(stage, options, thinks, hands_on_early)
            continue
        _set_drawing(stage, options)
        if len(params) == 1:
            stage.extra_args = {"max_think_tokens": options.max_tokens, **stage.extra_args, "think": thinks}
    return params


def _set_writing(stage: Any, options: OmniOptions, thinks: bool, hands_on_early: bool) -> None:
    """Set the thinker's sampling; in mode `direct` it writes one token, since the image needs its cache alone."""
    if not hands_on_early:
        stage.max_tokens = options.max_tokens if thinks else 1
    stage.temperature = options.temperature
    stage.top_k = 0  # all tokens; the shipped files say 1, which gives every candidate the same thought


def _set_drawing(stage: Any, options: OmniOptions) -> None:
    chosen = options.model_dump(include={"height", "width", "num_inference_steps"}, exclude_none=True)
    for name, value in chosen.items():
        setattr(stage, name, value)
    stage.num_outputs_per_prompt = 1
    stage.extra_args = {**(stage.extra_args or {}), **options.extra_args}


_THINK_TAGS = re.compile(r"</?think>")


class AnswerError(Exception):
    """An answer that cannot be used; the message says what is wrong with it."""


def read_outputs(outputs: Sequence[Any], thinks: bool) -> tuple[tuple[Segment, ...], str]:
    """Return the segments of an answer and its finish reason. Raises AnswerError without a picture or a thought."""
    for output in outputs:
        if output.error:
            raise AnswerError(first_line(output.error)[:300])
    thought = "\n\n".join(filter(None, (_read_thought(output) for output in outputs)))
    pictures = [picture for output in outputs for picture in output.images]
    if not pictures:
        said = f", but wrote {thought[:80]!r}" if thinks and thought else ""
        raise AnswerError(f"the engine returned no picture{said}")
    picture = Segment("image", "image", image=_to_png(pictures[0]))
    if not thinks:
        return (picture,), "stop"
    if not thought:
        raise AnswerError("the engine was asked to think and answered without a thought; see deploy_config")
    cut = any(completion.finish_reason == "length" for output in outputs for completion in output.outputs)
    return (Segment("text", "think", text=thought), picture), "length" if cut else "stop"


def _read_thought(output: Any) -> str:
    beside = output.multimodal_output
    metadata = beside.get("metadata") if isinstance(beside, Mapping) else None
    section = metadata.get("text") if isinstance(metadata, Mapping) else None
    thought = section.get("think_text") if isinstance(section, Mapping) else None
    text = thought or "".join(completion.text or "" for completion in output.outputs)
    return _THINK_TAGS.sub("", text).strip()


def _to_png(picture: Any) -> bytes:
    from PIL import Image

    if not isinstance(picture, Image.Image):
        raise AnswerError(f"the engine returned a {type(picture).__name__}, not a picture")
    try:
        return encode_picture(picture)
    except OSError as error:
        raise AnswerError(first_line(error)[:300]) from error
