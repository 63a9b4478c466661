"""vLLM-Omni as a backend: a thought and a picture for each request, one request after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datagen.backends.vllm_omni.answers import AnswerError, read_outputs
from datagen.backends.vllm_omni.engine import Engine, RequestError
from datagen.backends.vllm_omni.options import OmniOptions
from datagen.errors import BackendError
from datagen.records import Failure, Request, Sample

ENGINE = "vllm_omni/1"


class OmniBackend:
    """Generates samples with an offline engine of vLLM-Omni.

    The switch is `forced` in every mode: the stages of the engine follow each other, and no model decides to draw.
    A sample depends on its own prompt and seed, never on what else is asked for.
    """

    name = "vllm_omni"
    lexicon = "everyday"

    def __init__(self, options: OmniOptions) -> None:
        self.options = options
        self.engine = Engine(options)
        self.settings = {**options.describe(), "think_template": self.engine.think_template}

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request, in order.

        Raises BackendError for a mode that the engine cannot do, and for an engine that had to be started again more
        than `restarts` times.
        """
        self._check_modes(requests)
        self.engine.begin_shard()
        for request in requests:
            yield self._make(request)

    def _make(self, request: Request) -> Sample | Failure:
        try:
            segments, finish = read_outputs(self.engine.ask(request), thinks=request.mode == "think")
        except (RequestError, AnswerError) as error:
            return Failure.unanswered(request, str(error))
        return Sample.make(request, segments, engine=ENGINE, switch="forced", finish=finish, settings=self.settings)

    def _check_modes(self, requests: Sequence[Request]) -> None:
        modes = {request.mode for request in requests}
        if "reflect" in modes:
            hint = "start `vllm serve MODEL --omni` and use the backend openai, or mode: think"
            raise BackendError("vllm_omni draws once in an answer and cannot reflect", where="mode", hint=hint)
        if "think" in modes and self.engine.hands_on_early:
            what = "with this deploy_config the picture is drawn without the thought"
            hint = "for BAGEL: deploy_config: bagel_think.yaml"
            raise BackendError(what, where=self.options.deploy_config or self.options.model, hint=hint)
