"""Applies the service files of a folder, as the deciding controller does.

A file is applied when its text is another one than that which was applied last, so what people change by hand stands
until then. A file that asks for a canary starts it once: that it was started is stored with the start, in one change.

Each controller has a folder of its own, and one may be older than another's for a while. What another one has replaced
already is not applied again by a folder that only lags: each controller remembers what its own folder has had.
"""

from collections.abc import Callable, Mapping

import structlog

from controller.core.base.errors import Refusal
from controller.core.base.units import format_duration
from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor, Proof
from controller.core.model.followed import Followed
from controller.core.model.freeze import Act, describe_freeze
from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.ports.clock import Clock
from controller.ports.service_files import FileProblem, FileProblemKind, FilesStatus, FolderContent, ServiceFiles
from controller.process.periodic import every
from controller.runtime.declarations import ReadFile, digest_of
from controller.runtime.operations import Operations

POLL = 1.0
"""Seconds between two looks at the folder."""
LAG = 180.0
"""Seconds for which a folder may be older than another controller's. The kubelet takes up to two minutes until the
files of a changed ConfigMap are in each pod."""
REMEMBERED = 50_000
"""Texts that are remembered, by digest, of what the folder has had: of the largest folder the last few."""

log = structlog.get_logger()


def actor_of(file: str) -> Actor:
    """Whom the ledger names for what a file leads to."""
    return Actor(f"apply-from:{file}", Proof.FILE)


class FileFollower:
    """Watches one folder, and follows it in each term. `on_status` is given what became of the files."""

    def __init__(
        self, files: ServiceFiles, operations: Operations, clock: Clock, on_status: Callable[[FilesStatus], None]
    ) -> None:
        self._files = files
        self._operations = operations
        self._clock = clock
        self._on_status = on_status
        self._content: FolderContent | None = None
        """As it was found last."""
        self._had: dict[str, None] = {}
        """The digests of the texts that the folder has had since this controller runs, the newest last."""
        self._lagging: dict[str, float] = {}
        """By file: since when, in this term, it is known to lag."""
        self._read: dict[str, ReadFile | Refusal] = {}
        """By digest: what was read of a text."""
        self._problems: Mapping[str, FileProblem] = {}

    async def watch(self) -> None:
        """Look at the folder, until cancelled: in every controller, whether it decides or not."""
        await every(POLL, self.look)

    async def look(self) -> None:
        """Take up what is in the folder now. Raises nothing."""
        content = await self._files.read()
        if content is None or content is self._content:
            return
        self._content = content
        for text in content.texts.values():
            digest = digest_of(text)
            self._had.pop(digest, None)
            self._had[digest] = None
        for oldest in list(self._had)[:-REMEMBERED]:
            del self._had[oldest]

    async def run(self) -> None:
        """Apply what changes, for one term: until cancelled."""
        self._problems, self._lagging = {}, {}
        try:
            await every(POLL, self._attempt)
        finally:
            self._on_status(FilesStatus())

    async def _attempt(self) -> None:
        try:
            await self.follow()
        except Refusal as refusal:  # the store is away, which is said elsewhere
            log.warning("files_not_followed", reason=refusal.message)
        except Exception:  # an error with one file must not end the watch over the others
            log.exception("files_not_followed")

    async def follow(self) -> None:
        """Apply what has changed since it was applied last, and start what is asked for. Raises `Refusal` if the store
        is away."""
        content = self._content
        if content is None:
            return
        problems = {name: FileProblem(FileProblemKind.REFUSED, why) for name, why in content.problems.items()}
        if content.problem:
            problems[self._files.place] = FileProblem(FileProblemKind.REFUSED, content.problem)
        files, refused = self._read_all(content)
        view = self._operations.newest()
        changed = {name: file for name, file in files.items() if not file.is_followed(view.services.get(file.name))}
        for name, lags in self._lags(changed, view).items():
            problems[name] = FileProblem(FileProblemKind.LAGS, lags)
            del changed[name]
        if changed:
            refused |= await self._operations.follow(changed, actor_of)
            view = self._operations.newest()
        for name, file in files.items():
            if name not in refused and (waits := await self._start(name, file, view)):
                problems[name] = FileProblem(FileProblemKind.WAITS, waits)
        problems |= {name: FileProblem(FileProblemKind.REFUSED, each.message) for name, each in refused.items()}
        if not content.problem:
            problems |= _gone(view, content, {file.name for file in files.values()})
        self._report(len(content.texts) + len(content.problems), problems)

    def _read_all(self, content: FolderContent) -> tuple[dict[str, ReadFile], dict[str, Refusal]]:
        """The files that are right by themselves, and why the others are not. A service has one file."""
        read = {name: self._operations.read(text, self._read) for name, text in content.texts.items()}
        files = {name: each for name, each in read.items() if isinstance(each, ReadFile)}
        refused = {name: each for name, each in read.items() if isinstance(each, Refusal)}
        owners: dict[str, list[str]] = {}
        for name, file in files.items():
            owners.setdefault(file.name, []).append(name)
        for service, names in owners.items():
            for name in names if len(names) > 1 else ():
                del files[name]
                others = ", ".join(other for other in names if other != name)
                refused[name] = Refusal.of_file(f"{others} declares {service} too")
        return files, refused

    def _lags(self, changed: Mapping[str, ReadFile], view: View) -> Mapping[str, str]:
        """By file: that its text is an older one than what another controller's folder has. Not for longer than `LAG`:
        then it was put back."""
        now, lagging, found = self._clock.monotonic(), self._lagging, {}
        self._lagging = {}
        for name, file in changed.items():
            state = view.services.get(file.name)
            followed = state.followed if state else None
            if followed is None or file.digest not in followed.earlier or followed.digest in self._had:
                continue
            since = self._lagging[name] = lagging.get(name, now)
            if now - since < LAG:
                found[name] = (
                    "it was applied and replaced, and this controller's folder has not had what replaced it: "
                    f"it is applied again unless that comes within {format_duration(LAG)}"
                )
        return found

    async def _start(self, name: str, file: ReadFile, view: View) -> str:
        """Start the canary that a file asks for, unless it was; why that waits, empty if it does not."""
        state, canary = view.services.get(file.name), file.spec.wanted_canary
        followed = state.followed if state else None
        if state is None or followed is None or not file.is_followed(state) or canary in ("", followed.canary):
            return ""
        noted = followed.model_copy(update={"canary": canary})
        who, reason = actor_of(name), f"{name} asks for {canary}"
        try:
            if _is_started(state, followed, canary):
                await self._operations.note_followed(state.name, noted, who=who, reason=f"{canary} was started already")
                return ""
            if freeze := view.blocking_freeze(state.name, Act.ADVANCE):
                return f"{canary} does not start: {describe_freeze(freeze)}"
            await self._operations.act(state.name, Command(Verb.START, reason, canary, followed=noted), who=who)
        except Refusal as refusal:
            return f"{canary} does not start: {refusal.message}"
        log.info("started_from_file", file=name, service=state.name, canary=canary)
        return ""

    def _report(self, number: int, problems: Mapping[str, FileProblem]) -> None:
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                log.warning("file_problem", file=name, kind=problem.kind, reason=problem.text)
        for name in self._problems.keys() - problems.keys():
            log.info("file_problem_over", file=name)
        self._problems = problems
        self._on_status(FilesStatus(number, problems))


def _is_started(state: ServiceState, followed: Followed, canary: str) -> bool:
    """Whether that canary has been started since the file was applied, by whomever, or is stable already."""
    rollout = state.rollout
    if state.stable == canary or rollout is None or rollout.canary != canary:
        return state.stable == canary
    goes_forward = rollout.running and rollout.phase is not Phase.ROLLING_BACK
    return goes_forward or rollout.started_at >= followed.at


def _gone(view: View, content: FolderContent, declared: set[str]) -> Mapping[str, FileProblem]:
    """The files that were applied and are no longer there."""
    there = content.texts.keys() | content.problems.keys()
    gone = (state for state in view.services.values() if state.followed and state.name not in declared)
    return {
        state.followed.file: FileProblem(
            FileProblemKind.GONE, f"it is gone, and {state.name} stays as it was applied last, until it is deleted"
        )
        for state in gone
        if state.followed and state.followed.file not in there
    }
