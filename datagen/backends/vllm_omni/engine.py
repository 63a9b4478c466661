"""One vLLM-Omni engine, which closes itself when a request fails and is then started again for the next one.

`Omni.generate` takes one list of sampling parameters, one for each stage, for all prompts of a call, so a seed of
one's own takes a call of one's own: each request is asked alone. What fails is then that request and nothing else, and
no other has to be asked again. Only where the engine says that it died, which may be no request's doing, is the same
request asked once more.

Not covered: an engine that neither answers nor dies; a run that stands still is stopped by hand, and resumed.
"""

from __future__ import annotations

import importlib
from typing import Any

from datagen.backends.vllm_omni.asking import find_think_template, make_params, make_prompt
from datagen.backends.vllm_omni.options import OmniOptions
from datagen.errors import BackendError
from datagen.records import Request


class RequestError(Exception):
    """One request failed for good; the message is the reason."""


class Engine:
    """Holds a running `vllm_omni.Omni`.

    `restarts` counts how often it had to be started again, since the beginning. `hands_on_early` says that the
    picture is drawn from the prompt alone, whatever the thinker writes.
    """

    def __init__(self, options: OmniOptions) -> None:
        self.options = options
        self.restarts = 0
        self._left = options.restarts
        self._last_reason = ""
        self._omni: Any = self._start()
        self.hands_on_early = _hands_on_early(self._omni)
        self.think_template = find_think_template(options)

    def begin_shard(self) -> None:
        """Allow `restarts` restarts from here on."""
        self._left = self.options.restarts

    def ask(self, request: Request) -> list[Any]:
        """Return the `OmniRequestOutput`s of one request.

        Raises RequestError when the request fails, BackendError when the engine cannot, or may not, be started again.
        """
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        failures = (EngineGenerateError, RuntimeError, ValueError, TypeError, LookupError, OSError)
        for is_last in (False, True):
            try:
                return self._call(request)
            except EngineDeadError as error:
                self._last_reason = _first_line(error)
                if is_last:
                    raise RequestError(f"the engine died of it twice: {self._last_reason}") from error
            except failures as error:
                self._last_reason = _first_line(error)
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
            return outputs
        finally:
            if outputs is None:
                self._omni = None
                omni.close()  # it closed itself, but for what it finds wrong before it begins; twice does no harm

    def _revive(self) -> Any:
        """Return the running engine; one that is gone is started again, as long as that is allowed."""
        if self._omni is None:
            if self._left == 0:
                what = f"vLLM-Omni failed more than `restarts` ({self.options.restarts}) times in one shard"
                hint = f"the last reason: {self._last_reason}; finished shards are kept"
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
            what = f"vLLM-Omni cannot start the model: {_first_line(error)}"
            hint = (
                "are model and deploy_config right, and does it fit? see `engine:` for any argument of vllm_omni.Omni"
            )
            raise BackendError(what, where=options.model, hint=hint) from error


def _hands_on_early(omni: Any) -> bool:
    """Tell whether a thinker hands its cache on before it writes, so that the drawing stage sees no thought."""
    pipeline = omni.engine.pipeline_config
    stages = pipeline.stages if pipeline is not None else ()
    handed_on = [(stage.omni_kv_config or {}).get("kv_transfer_criteria") or {} for stage in stages]
    return any(criteria.get("type") == "prefill_finished" for criteria in handed_on)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:300] or type(error).__name__
