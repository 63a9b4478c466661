"""A dataset on a Hugging Face hub, through the official client: contents first, then one commit that shows them all.

Large files are uploaded before the commit and stored by their hash, so readers do not see them, and a repeated push
sends only what the hub lacks. The commit names its parent, so changes by others are never overwritten. Before and after
it, the hub's listing (size, SHA-256 or git hash of each file) is compared with the expected one; so a commit whose
answer was lost is found and not made twice. The client manages the token; it is read here only to keep it out of
messages.

Not covered: several commits for one push (one takes 25,000 files), models and spaces, branches as destinations.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from datagen.errors import PushError, first_line
from datagen.pipeline import Progress, Watch
from datagen.push.destination import GO_ON, HUB, Again, Remote, keep_trying
from datagen.push.files import MANIFEST, File, Manifest

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi


FOLDER_ENTRIES, COMMIT_FILES = 10_000, 25_000
"""Most entries of a folder, by the hub's storage limits, and most files of a commit, by its client."""
BATCH_FILES, BATCH_BYTES = 50, 1 << 30
"""Most files and bytes of a batch of uploads, which is one step of the progress line."""
ROUNDS = 3
"""Number of commits before a push gives up on a file."""
LOGIN = f"`hf auth login`, then {GO_ON}"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the hub's listing: its size, its SHA-256 if it is stored by it (else empty), and its git hash."""

    size: int
    sha256: str
    blob: str

    def is_same(self, file: File) -> bool:
        """Tell whether this entry is the file; without a local source only sizes (and any SHA-256) are compared."""
        if self.size != file.size:
            return False
        if self.sha256:
            return self.sha256 == file.sha256
        if file.source is None:
            return True
        header = f"blob {file.size}\0".encode()  # small files are plain git blobs, listed by git's hash
        return self.blob == hashlib.sha1(header + file.content(), usedforsecurity=False).hexdigest()


class Hub:
    """One dataset of a hub; `revision` is the one to read, `main` if empty; a push goes to `main` only."""

    by_content = False
    commits = 1
    limits: tuple[int, int] | None = (FOLDER_ENTRIES, COMMIT_FILES)

    def __init__(self, name: str, revision: str, watch: Watch) -> None:
        self.name, self.revision, self._watch = name, revision, watch
        self.address = f"{HUB}{name}" + (f"@{revision}" if revision else "")
        self._staged: dict[File, CommitOperationAdd] = {}

    @cached_property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(library_name="datagen")

    @cached_property
    def _repo(self) -> str:
        """The full name; a name without an owner belongs to the user who is logged in."""
        if "/" in self.name:
            return self.name
        return f"{self._try(self._api.whoami)['name']}/{self.name}"

    @property
    def loading(self) -> str:
        """The Python line that loads the dataset by its full name."""
        return f"load_dataset({json.dumps(self._repo)})  # or streaming=True"

    def look(self) -> Remote:
        """Return the current state; a dataset that does not exist is an empty Remote."""
        seen = self._list()
        if MANIFEST not in seen.paths:
            return seen
        return replace(seen, manifest=self._read_manifest(seen.revision))

    def _list(self) -> Remote:
        """Return the current state without the manifest, in two requests and one more for each further 1,000 files."""
        from huggingface_hub import RepoFile

        address = HUB + self._repo
        info = self._try(self._ask_info)
        if info is None:
            return Remote(address)
        if info.id != self._repo:  # the hub redirects old names, but a push would create a new dataset
            raise self._fail(f"is called {HUB}{info.id} now", "use that address")
        listing = self._try(
            lambda: list(self._api.list_repo_tree(self._repo, recursive=True, revision=info.sha, repo_type="dataset"))
        )
        entries = {
            each.path: Entry(each.size, each.lfs.sha256 if each.lfs else "", each.blob_id)
            for each in listing
            if isinstance(each, RepoFile)
        }
        return Remote(
            address,
            revision=info.sha,
            paths=frozenset(entries),
            holds=lambda file: file.path in entries and entries[file.path].is_same(file),
            public=not info.private,
        )

    def _ask_info(self) -> Any:
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return self._api.dataset_info(self._repo, revision=self.revision or None)
        except RepositoryNotFoundError as error:
            if error.response.status_code == 404:
                return None
            raise

    def _read_manifest(self, revision: str) -> Manifest:
        with tempfile.TemporaryDirectory() as away:
            self._download(MANIFEST, revision, Path(away))
            return Manifest.parse((Path(away) / MANIFEST).read_bytes(), self.address)

    def stage(self, files: Sequence[File], public: bool) -> None:
        """Create the dataset if it is missing, and upload large files; small ones are part of the commit."""
        from huggingface_hub import CommitOperationAdd

        self._try(lambda: self._api.create_repo(self._repo, repo_type="dataset", private=not public, exist_ok=True))
        done = 0
        for batch in cut_batches(files):
            additions = {file: CommitOperationAdd(file.path, cast(Any, file.source)) for file in batch}
            for file, addition in additions.items():
                addition.upload_info.sha256 = bytes.fromhex(file.sha256)  # or the client would hash the file again
            self._try(
                lambda additions=additions: self._api.preupload_lfs_files(  # type: ignore[misc]
                    self._repo, list(additions.values()), repo_type="dataset", free_memory=False
                )
            )
            self._staged |= additions
            done += len(batch)
            self._watch.show(Progress("send", done, len(files)))

    def publish(self, files: Sequence[File], removed: Sequence[str], seen: Remote, message: str) -> str:
        """Commit the differences, compare the hub's listing with `files`, and return the commit that has them all."""
        base = seen.revision
        rounds = 0

        def attempt() -> str | None:
            nonlocal base, rounds
            now = self._list()
            wrong = [file for file in files if not now.holds(file)]
            stale = [path for path in removed if path in now.paths]
            if not wrong and not stale:
                return now.revision
            # Checked after the files: a commit of ours whose answer was lost also changes the revision.
            if base and now.revision != base:
                raise self._fail("was changed by somebody else during this push", "look at it, then push again")
            if rounds == ROUNDS:
                path = (*(file.path for file in wrong), *stale)[0]
                raise self._fail(f"{path} arrived damaged {ROUNDS} times in a row", GO_ON)
            rounds += 1
            base = self._commit(wrong, stale, now.revision, message)
            return None

        while (revision := self._try(attempt)) is None:
            continue
        self._watch.show(Progress("verify", len(files), len(files)))
        return revision

    def _commit(self, files: Sequence[File], stale: Sequence[str], parent: str, message: str) -> str:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        if gone := [file.path for file in files if file.source is None]:
            raise self._fail(f"{gone[0]} has changed since it was pushed", "push its run again to another name")
        operations: list[Any] = [
            self._staged.get(file) or CommitOperationAdd(file.path, cast(Any, file.source)) for file in files
        ]
        operations += [CommitOperationDelete(path) for path in stale]
        done = self._api.create_commit(
            self._repo, operations, commit_message=message, repo_type="dataset", parent_commit=parent
        )
        self._staged.clear()  # an operation cannot be committed twice
        return done.oid

    def fetch(self, file: File, seen: Remote, folder: Path) -> None:
        """Download a file of the revision in `seen`; an interrupted download continues where it stopped."""
        self._download(file.path, seen.revision, folder)

    def _download(self, path: str, revision: str, folder: Path) -> None:
        self._try(
            lambda: self._api.hf_hub_download(
                self._repo, path, repo_type="dataset", revision=revision, local_dir=folder
            )
        )

    def read(self, path: str, seen: Remote, use: Callable[[IO[bytes]], T]) -> T:
        """Return the result of `use` on an open file of the revision in `seen`; only the ranges it reads are sent."""
        from huggingface_hub import HfFileSystem

        def attempt() -> T:
            with HfFileSystem().open(f"datasets/{self._repo}@{seen.revision}/{path}", "rb") as file:
                return use(file)

        return self._try(attempt)

    def _try(self, call: Callable[[], T]) -> T:
        from huggingface_hub.errors import HfHubHTTPError

        http_error = HfHubHTTPError.__mro__[1]  # the HTTPError of httpx or httpx2, whichever this client uses
        errors = cast(tuple[type[Exception], ...], (http_error, OSError, RuntimeError, ValueError))
        with _forward_log(lambda text: self._watch.say(self._redact(text))):
            try:
                return keep_trying(call, errors, self._judge, self.address, self._watch.say)
            except PushError as error:
                if _names_token(error):
                    raise error from None  # a traceback would show the token that the server echoed
                raise

    def _judge(self, error: Exception) -> Again | PushError:
        """Return whether a call may be retried after an exception of the client, or the final error."""
        from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled

        cause: BaseException = error
        while getattr(cause, "response", None) is None and cause.__cause__ is not None:
            cause = cause.__cause__
        if (response := getattr(cause, "response", None)) is not None:
            return self._judge_answer(cause, response)
        why = self._redact(first_line(cause))
        if isinstance(cause, OfflineModeIsEnabled):
            return self._fail("cannot be reached: the hub's client is in offline mode", "unset HF_HUB_OFFLINE")
        if isinstance(cause, LocalTokenNotFoundError):
            return self._fail("nobody is logged in", LOGIN)
        if isinstance(cause, json.JSONDecodeError):
            return Again("the hub's answer is not JSON")
        if isinstance(cause, ValueError) or (isinstance(cause, OSError) and cause.errno is not None):
            return self._fail(why, GO_ON)
        return Again(f"no answer: {why}")

    def _judge_answer(self, error: BaseException, response: Any) -> Again | PushError:
        status, words = response.status_code, self._words_of(error, response)
        if status == 429 or status == 408 or (500 <= status < 600 and status != 507):
            return Again(f"the hub answers {status}: {words}", read_wait(response.headers))
        if status in (402, 413, 507) or (status == 403 and re.search(r"storage|quota|disk", words, re.IGNORECASE)):
            return self._fail(f"has no room left: {words}", f"make room there, then {GO_ON}")
        if status == 401:
            what = "the hub does not accept the token (any more)" if _read_token() else "nobody is logged in"
            return self._fail(f"{what}: {words}", LOGIN)
        if response.request.method == "PUT":  # upload to the hub's store: damaged, or the signed address expired
            return Again(f"the store answers {status}: {words}")
        if status == 403:
            return self._fail(f"no permission: {words}", "a token that may do this, or another name, is needed")
        if status in (409, 412):
            return self._fail(f"was changed by somebody else during this push: {words}", "look at it, then push again")
        return self._fail(f"the hub answers {status}: {words}", GO_ON)

    def _words_of(self, error: BaseException, response: Any) -> str:
        words = str(getattr(error, "server_message", None) or error).strip().split("\n")[0]
        return self._redact(words) or str(response.reason_phrase)

    def _redact(self, text: str) -> str:
        """Remove the token from a text, and queries from its addresses, which hold signatures of stores."""
        if token := _read_token():
            text = text.replace(token, "<token>")
        return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)

    def _fail(self, what: str, hint: str) -> PushError:
        return PushError(what, where=self.address, hint=hint)


def _read_token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _names_token(error: BaseException) -> bool:
    """Tell whether the token is in the message of a cause of an exception."""
    token, cause = _read_token(), error.__cause__
    return token is not None and cause is not None and (token in str(cause) or _names_token(cause))


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, by `Retry-After` or the reset of the hub's rate limit."""
    if (after := headers.get("retry-after", "").strip()).isdigit():
        return float(after)
    limit = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", ""))
    return float(limit[1]) if limit else None


def cut_batches(files: Sequence[File]) -> Iterator[list[File]]:
    """Yield files in batches of bounded number and size."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


@contextmanager
def _forward_log(say: Callable[[str], None]) -> Iterator[None]:
    """Pass the client's warnings, such as those of its own retries, to `say`, and hide its progress bars."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logger, handler, were_off = logging.getLogger("huggingface_hub"), _Forward(say), are_progress_bars_disabled()
    handlers, logger.handlers = logger.handlers, [handler]
    disable_progress_bars()
    try:
        yield
    finally:
        logger.handlers = handlers
        if not were_off:
            enable_progress_bars()


class _Forward(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage().split("\n")[0])
