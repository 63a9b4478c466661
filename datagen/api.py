"""The front door from Python: what the commands do, by the same functions, for scripts and notebooks.

    import datagen as dg

    run = dg.build(dg.Recipe.load("quickstart").set(prompts=50, candidates=2))
    for sample in run.samples(weakness="counting", passed=False):
        print(sample.prompt, sample.image_reward)
    data = run.to_dataset()

Arguments have the names of the command line's options: `--max-samples 100` is `max_samples=100`; one that may be given
several times is a list, in the plural. Progress is shown as there, and everything raises a DatagenError whose text says
what to do. See docs/python.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datagen.config import Change, Recipe
from datagen.errors import ConfigError, RunError, did_you_mean

if TYPE_CHECKING:
    import pandas
    from datasets import DatasetDict
    from PIL.Image import Image

    from datagen.diagnose import Diagnosis
    from datagen.documents.reading import Problem
    from datagen.experiment import Summary
    from datagen.loop import LoopResult
    from datagen.pipeline import Estimate, Finding, RunStatus, Weighed
    from datagen.pipeline import Run as Opened
    from datagen.push import Order, Pushed
    from datagen.records import Claim, Prompt, Score
    from datagen.report import ReportItem
    from datagen.training.finetune import TrainStep
    from datagen.weighting import RewardRow

Source = Recipe | str | Path | Mapping[str, Any]
"""A recipe, or what `Recipe.load` takes."""


def build(
    recipe: Source = "",
    *,
    run: str | Path | None = None,
    keep: bool = False,
    reuse: str | Path | Run | None = None,
    workers: int | None = None,
    models: int | None = None,
    max_samples: int | None = None,
    max_hours: float | None = None,
    max_cost: float | None = None,
    runner: Literal["local", "ray"] = "local",
    address: str | None = None,
    gpus_per_model: float | None = None,
    verbose: bool = False,
) -> Run:
    """Build the dataset of a recipe in the folder `run` (default: outputs/<name>), or resume a build, and return it.

    A run of this recipe that asked for less grows. With `reuse`, a run or its address or name, the samples and scores
    of it that would be the same are taken along.
    As `datagen build`: the folder is the same byte for byte, and either continues what the other began. Raises Paused
    at a limit that was set, after which the same call goes on, and other DatagenErrors.
    """
    from datagen.console import Board
    from datagen.pipeline import Budget, build_run, open_build
    from datagen.runners.choosing import choose_runner, refuse_job_folder

    execute = choose_runner(runner, workers, models, address, gpus_per_model)
    folder = None if run is None else str(run)
    refuse_job_folder(folder)
    loaded = _load(recipe)
    other = None if reuse is None else reuse.folder if isinstance(reuse, Run) else str(reuse)
    with Board(verbose=verbose) as board:
        address = folder or f"outputs/{loaded.name}"
        opened = open_build(loaded, address, "datagen build RECIPE", board, keep=keep, reuse=other)
        with opened.folder.hold():
            build_run(opened, execute, board, Budget(max_samples, max_hours, max_cost))
    return Run(str(opened.folder))


def open_run(word: str | Path) -> Run:
    """Return the run of an address, or of a name under outputs/. Raises RunError if there is none."""
    from datagen.pipeline import find_run

    return Run(find_run(str(word)))


def preview(*taxonomies: str | Path, lexicon: str = "pictograms", count: int = 3, seed: int = 0) -> list[Prompt]:
    """Return the first `count` prompts of each skill of some taxonomies, given by name or as files.

    Without any: those of taxonomies/ here, else all that ship. Raises ConfigError.
    """
    from datagen.prompts.templated import preview as draw_preview
    from datagen.taxonomy import list_taxonomies, load_taxonomy

    known = list_taxonomies()
    words = [known.get(str(word), word) for word in taxonomies or known]
    return draw_preview(load_taxonomy(words, lexicon), count, seed)


def check(*paths: str | Path) -> list[Problem]:
    """Return every problem of taxonomies, templates, lexicons, recipes and experiments, each with its place.

    `paths` are files, folders or names; without any, the project's own here, else all that ships.
    """
    from datagen.checking import check_files

    return check_files(paths or [name for name in ("taxonomies", "recipes", "experiments") if Path(name).is_dir()])


def diagnose(
    recipe: Source = "",
    *,
    prompts: int = 32,
    candidates: int | None = None,
    results: str | Path | None = None,
    category: str = "",
    model: str = "",
    out: str | Path | None = None,
    run: str | Path | None = None,
    workers: int | None = None,
    models: int | None = None,
    keep: bool = False,
) -> Diagnosis:
    """Return where a model fails, by skill and level, and write it to `out` (default: RUN/diagnosis.yaml).

    Makes a probe of `prompts` per level in the folder `run`, or with `results` only reads a benchmark's results or a
    scored run; `category` and `model` belong to such a file. Raises DatagenError.
    """
    from datagen.console import Board
    from datagen.diagnose import dump_diagnosis
    from datagen.filesystems import write_text
    from datagen.pipeline import probe_run, read_diagnosis
    from datagen.runners.choosing import choose_runner

    if results is not None:
        made, place = read_diagnosis(str(results), category, model)
    else:
        folder = None if run is None else str(run)
        with Board() as board:
            execute = choose_runner("local", workers, models)
            made, place = probe_run(_load(recipe), execute, board, prompts, candidates, folder, keep=keep)
    write_text(Path(out or place), dump_diagnosis(made))
    return made


def audit(
    recipe: Source = "",
    *,
    prompts: int = 20,
    seed: int = 1,
    text_sizes: int = 0,
    picture_sizes: int = 0,
    sides: Sequence[int] | None = None,
    fonts: Sequence[Path] = (),
    run: str | None = None,
    before: str | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return what the scorers of a recipe are worth on scenes whose truth is known: tables by name, rows by column.

    See `datagen.audit.audit_recipe`; `datagen.audit.conclude` says in words what the tables mean. A table becomes a
    `pandas.DataFrame`.
    """
    from datagen.audit import audit_recipe
    from datagen.console import Board

    with Board() as board:
        return audit_recipe(
            _load(recipe),
            board,
            prompts=prompts,
            seed=seed,
            text_sizes=text_sizes,
            picture_sizes=picture_sizes,
            sides=sides,
            fonts=fonts,
            run=run,
            before=before,
        )


def plan(recipe: Source = "", *, probe: bool = True, workers: int | None = None) -> Estimate:
    """Return what a run would make and cost: prompts, samples, shards, bytes, time, requests, tokens and money.

    With `probe` the model is loaded and a few samples are timed. Raises DatagenError.
    """
    from datagen.console import Board
    from datagen.pipeline import estimate_run
    from datagen.runners.local import default_workers

    count = default_workers() if workers is None else workers
    with Board() as board:
        return estimate_run(_load(recipe), probe=probe, workers=count, watch=board)


def doctor(recipe: Source = "") -> Iterator[Finding]:
    """Test the model of a recipe before a long run, and yield what is found as it is found.

    A finding is a tuple of a check, a verdict (`ok`, `warning`, `failed`, …) and what was seen. Raises DatagenError.
    """
    from datagen.console import Board
    from datagen.pipeline import examine_recipe

    with Board() as board:
        yield from examine_recipe(_load(recipe), board)


def train(
    dataset: str | Path | Run,
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    track: str | None = None,
    **options: Any,
) -> list[TrainStep]:
    """Train the embedded model on a run or an exported dataset; `out` becomes a checkpoint. The same call resumes.

    `options` are those of `datagen train`, the fields of `datagen.training.finetune.TrainPlan`: steps, batch, lr, …
    Without `checkpoint` the shipped one is where it begins; without `track` the tracker is that of the run. Returns
    every step of the log; the first and the last have the held-out losses before and after. Raises DatagenError.
    """
    from datagen.config import Choice, read_choice
    from datagen.console import Board
    from datagen.embedded.options import SHIPPED
    from datagen.pipeline import open_run, require_current
    from datagen.training.finetune import TrainPlan, find_dataset, train_weighted
    from datagen.training.tracked import track_training

    tracker = Choice.model_validate(read_choice(track)) if track else None
    folder = find_dataset(str(dataset.folder if isinstance(dataset, Run) else dataset))
    if folder.name == "dataset" and (folder.parent / "run.yaml").is_file():
        opened = open_run(str(folder.parent))
        require_current(opened, ["dataset"])
        tracker = tracker or opened.recipe.track
    made, out = TrainPlan(folder, Path(checkpoint or SHIPPED), **options), Path(out)
    with Board() as board, track_training(tracker, made, out, board) as watch:
        return train_weighted(made, out, watch)


def loop(
    recipe: Source = "",
    *,
    rounds: int = 3,
    patience: int = 1,
    prompts: int = 32,
    candidates: int | None = None,
    run: str | Path | None = None,
    workers: int | None = None,
    models: int | None = None,
    keep: bool = False,
    max_hours: float | None = None,
    max_cost: float | None = None,
) -> LoopResult:
    """Diagnose, build, train and diagnose again, in rounds, and return the figures of each. The same call goes on.

    The best model is in `best/` of the folder `run` (default: outputs/<name>-loop), beside loop.html. Raises
    DatagenError.
    """
    from datagen.console import Board
    from datagen.loop import LoopPlan, run_loop
    from datagen.pipeline import Budget
    from datagen.runners.choosing import choose_runner

    loaded = _load(recipe)
    folder = Path(run or f"outputs/{loaded.name}-loop")
    made = LoopPlan(loaded, folder, rounds, patience, prompts, candidates, keep)
    execute = choose_runner("local", workers, models)
    with Board() as board:
        return run_loop(made, execute, board, board.show_training, Budget(hours=max_hours, cost=max_cost))


def experiment(
    name: str | Path,
    *changes: str,
    seeds: str | None = None,
    run: str | Path | None = None,
    workers: int | None = None,
    models: int | None = None,
    keep: bool = False,
    max_hours: float | None = None,
    max_cost: float | None = None,
) -> Summary:
    """Compare ways to make data and train, from a file or a shipped experiment, and return the figures.

    `changes` are those of `--set`, `seeds` is text such as `1,2`. The pages are in the folder `run` (default:
    outputs/<name>-experiment). The same call goes on. Raises DatagenError.
    """
    from datagen.console import Board
    from datagen.experiment import ExperimentPlan, load_experiment, run_experiment
    from datagen.pipeline import Budget
    from datagen.runners.choosing import choose_runner

    loaded, file = load_experiment(str(name), seeds)
    folder = Path(run or f"outputs/{Path(name).stem}-experiment")
    made = ExperimentPlan(loaded, file, folder, changes, keep)
    execute = choose_runner("local", workers, models)
    with Board() as board:
        return run_experiment(made, execute, board, board.show_training, Budget(hours=max_hours, cost=max_cost))


def _load(recipe: Source) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)


@dataclass(frozen=True, slots=True)
class Run:
    """A run by its folder. It holds nothing else: each call reads what is there now."""

    folder: str

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run, with all changes since it was begun."""
        return self._open().recipe

    def status(self) -> RunStatus:
        """Return how far the run is, what is damaged, and what is stale."""
        from datagen.pipeline import read_status

        return read_status(self._open())

    def samples(
        self,
        *,
        weakness: str | None = None,
        skill: str | None = None,
        level: str | None = None,
        passed: bool | None = None,
        kept: bool | None = None,
    ) -> Iterator[RunSample]:
        """Return an iterator over the samples, or over those with certain values, in the order of the run.

        `skill` may be its name or its path; a sample that could not be judged has neither passed nor failed. Holds a
        few pictures in memory. Raises RunError if the run is not scored, ConfigError for a word that the run has not.
        """
        from datagen.pipeline import read_items, read_weights

        run = self._open()
        weighed = read_weights(run)
        _require("weakness", weakness, lambda row: [row.weakness], run, weighed)
        _require("skill", skill, lambda row: [row.skill, f"{row.weakness}/{row.skill}"], run, weighed)
        wanted = {"weakness": weakness, "level": level, "passed": passed, "kept": kept}
        asked = {key: value for key, value in wanted.items() if value is not None}
        return (
            sample
            for sample in map(RunSample, read_items(run, weighed))
            if all(getattr(sample, key) == value for key, value in asked.items())
            and skill in (None, sample.skill, f"{sample.weakness}/{sample.skill}")
        )

    def to_dataset(self) -> DatasetDict:
        """Return the exported dataset with all its splits. Raises RunError if it is stale or not there."""
        from datasets import load_dataset

        found: DatasetDict = load_dataset(str(self._find_dataset()))
        return found

    def to_pandas(self) -> pandas.DataFrame:
        """Return the exported dataset as one table without its pictures, with the column `split` first."""
        import pandas
        import pyarrow.parquet as pq

        frames = []
        for file in sorted((self._find_dataset() / "data").glob("*.parquet")):
            names = [name for name in pq.read_schema(file).names if name != "images"]
            frame = pq.read_table(file, columns=names).to_pandas()
            frame.insert(0, "split", file.name.partition("-")[0])
            frames.append(frame)
        return pandas.concat(frames, ignore_index=True)

    def score(
        self,
        *changes: Change,
        again: bool = False,
        keep: bool = False,
        workers: int | None = None,
        max_hours: float | None = None,
        max_cost: float | None = None,
        **keys: Any,
    ) -> Run:
        """Score what has no scores; all of it `again`, or by other keys, such as `rewards=["counting", mine]`."""
        from datagen.console import Board
        from datagen.pipeline import Budget, rescore_run
        from datagen.runners.choosing import choose_runner

        execute, budget = choose_runner("local", workers), Budget(hours=max_hours, cost=max_cost)
        with Board() as board:
            rescore_run(self._word, [*changes, *keys.items()], again, execute, board, budget, keep=keep)
        return self

    def weigh(self, *changes: Change, policy: str | None = None, **keys: Any) -> Weighed:
        """Turn scores into weights by the recipe's policy or another, and note it; dataset and report are stale then.

        `keys` are those under `weights:`, such as `beta=0.1`; `changes` are as those of `Recipe.set`. The `report` of
        the result says how healthy the weights are.
        """
        from datagen.console import Board
        from datagen.pipeline import reweigh_run

        given = {**({} if policy is None else {"policy": policy}), **keys}
        with Board() as board:
            _, weighed = reweigh_run(
                self._word, [*changes, *((f"weights.{key}", value) for key, value in given.items())], board
            )
        return weighed

    def export(self, view: str | None = None, format: str | None = None, *, skip: bool = False) -> Path:
        """Write the dataset and its exports anew, or add a view in a trainer's format, and return the folder.

        Options stand behind a word: `format="chat:layout=prompt"`; a view without a format is written as jsonl. `skip`
        leaves out texts with control tokens.
        """
        from datagen.console import Board
        from datagen.pipeline import name_export, reexport_run

        with Board() as board:
            reexport_run(self._word, board, view=view, form=format, skip=skip)
        return Path(self.folder) / (f"exports/{name_export(view, format)}" if view else "dataset")

    def report(self) -> Path:
        """Write the gallery of the run anew and return its page."""
        from datagen.console import Board
        from datagen.pipeline import report_run, weigh_run

        run = self._open()
        with run.folder.hold(), Board() as board:
            return Path(report_run(run, weigh_run(run, board, look=True), board))

    def push(
        self, destination: str, *, public: bool = False, replace: bool = False, views: Sequence[str] = ()
    ) -> Pushed:
        """Push the dataset, and exports by name, to a hub or bucket; resumes where it stopped. Raises PushError."""
        return self._send(destination, "push", public, replace, views)

    def append(self, destination: str, *, public: bool = False, views: Sequence[str] = ()) -> Pushed:
        """Append the run to a dataset that was pushed. Raises PushError for duplicates."""
        return self._send(destination, "append", public, False, views)

    def _send(
        self, destination: str, way: Literal["push", "append"], public: bool, replace: bool, views: Sequence[str]
    ) -> Pushed:
        from tempfile import TemporaryDirectory

        from datagen.console import Board
        from datagen.push import complete_push, prepare_push

        run = self._open()
        with run.folder.hold(reading=True), Board() as board, TemporaryDirectory() as room:
            order: Order = prepare_push(
                run, destination, board, way=way, public=public, replace=replace, views=views, room=Path(room)
            )
            return complete_push(order)

    @property
    def _word(self) -> str:
        """The folder as a word that names no other run under outputs/."""
        return self.folder if "/" in self.folder else f"./{self.folder}"

    def _open(self) -> Opened:
        from datagen.pipeline import open_run as open_

        return open_(self._word)

    def _find_dataset(self) -> Path:
        from datagen.pipeline import require_current

        run = self._open()
        if not run.folder.is_local:
            raise RunError("is not on this machine", where=self.folder, hint="copy the run here")
        if not run.folder.has("dataset/README.md"):
            raise RunError("has no dataset", where=self.folder, hint="first: datagen export RUN")
        require_current(run, ["dataset"])
        return run.folder.local_path / "dataset"


def _require(
    key: str, word: str | None, name: Callable[[RewardRow], Sequence[str]], run: Opened, weighed: Weighed
) -> None:
    """Raise ConfigError for a word that is the name of no row."""
    if word is None or any(word in name(row) for row in weighed.rows):
        return
    known = {each for row in weighed.rows for each in name(row)}
    raise ConfigError(f"the run has no {key} {word!r}", where=str(run.folder), hint=did_you_mean(word, known))


@dataclass(frozen=True, slots=True)
class RunSample:
    """A sample of a run with its prompt, scores, rewards and weights. A notebook shows it with its pictures and boxes.

    Rewards are in [0, 1], or None where nothing could be scored; weights are >= 0.
    """

    item: ReportItem

    @property
    def id(self) -> str:
        """The id of the sample, for `datagen sample RUN ID`."""
        return self.item.sample.id

    @property
    def prompt(self) -> str:
        """The words that the model was given."""
        return self.item.prompt.text

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What the prompt asserts."""
        return self.item.prompt.claims

    @property
    def weakness(self) -> str:
        """The weakness of the taxonomy that the prompt is from."""
        return self.item.prompt.weakness

    @property
    def skill(self) -> str:
        """The skill of that weakness."""
        return self.item.prompt.skill

    @property
    def level(self) -> str:
        """The level of that skill."""
        return self.item.prompt.level

    @property
    def text(self) -> str:
        """What the model wrote: plan, reasoning, reflection."""
        return self.item.sample.text

    @property
    def image(self) -> Image | None:
        """The last picture (RGB), or None if the model made none."""
        from datagen.pictures import read_image

        content = self.item.sample.image
        return None if content is None else read_image(content)

    @property
    def scores(self) -> dict[str, Score]:
        """The scores by scorer, each with its reason."""
        return {score.name: score for score in self.item.scores}

    @property
    def passed(self) -> bool | None:
        """Whether every claim holds; None if that could not be judged."""
        return self.item.passed

    @property
    def kept(self) -> bool:
        """Whether training gets it; `why` says why not."""
        return self.item.kept

    @property
    def why(self) -> str:
        """Why it weighs what it weighs."""
        return self.item.weight_reason

    @property
    def text_reward(self) -> float | None:
        """The reward of the text."""
        return self.item.text_reward

    @property
    def image_reward(self) -> float | None:
        """The reward of the image."""
        return self.item.image_reward

    @property
    def text_weight(self) -> float | None:
        """What training multiplies the loss of the text by."""
        return self.item.text_weight

    @property
    def image_weight(self) -> float | None:
        """What training multiplies the loss of the image by."""
        return self.item.image_weight

    def __repr__(self) -> str:
        return f"<sample {self.id}, {self.item.verdict}: {self.prompt!r}>"

    def _repr_html_(self) -> str:
        from datagen.report import render_sample

        return render_sample(self.item)
