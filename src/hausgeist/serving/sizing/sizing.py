"""From a question to an answer: finds the models, the machine and the prices, and has the planner work it out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from hausgeist.errors import InvalidRequest, NotFound, StoreError
from hausgeist.model import Footprint
from hausgeist.planner.accuracy import Accuracy
from hausgeist.planner.advice.buying import Proposal, offers, what_to_buy
from hausgeist.planner.advice.models import USES, Ranked, best_here, largest_that_fits
from hausgeist.planner.costs.expense import Terms
from hausgeist.planner.costs.prices import Prices
from hausgeist.planner.crowd import crowd
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.memory import Start
from hausgeist.planner.plan import Plan, gib, plan, with_footprint
from hausgeist.planner.target import Target
from hausgeist.planner.wish import speeds
from hausgeist.serving.sizing.answer import Answer, Choice
from hausgeist.serving.sizing.distant import Distant, address_of
from hausgeist.serving.sizing.glance import Glances
from hausgeist.serving.sizing.known import known
from hausgeist.serving.sizing.models import catalogue, model_of
from hausgeist.serving.sizing.published import published
from hausgeist.serving.sizing.purchase import bought
from hausgeist.serving.sizing.question import Question
from hausgeist.serving.sizing.remedy import remedy
from hausgeist.serving.sizing.sheet import Pace, Sheet
from hausgeist.serving.sizing.subjects import Subject, Subjects
from hausgeist.serving.sizing.ways import Way, memory_by_context, name_of, ways
from hausgeist.serving.sizing.wished import about_draft, volume_of, wished
from hausgeist.store.threads import to_its_end

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration

__all__ = ["FitPass", "Sizing"]

P = ParamSpec("P")
T = TypeVar("T")

FitPass = Callable[[Subject, Start], Awaitable[Footprint]]
"""What the engine itself says that a model takes on this machine. Raises `LoadFailed`."""

_SHORTEST: Final = 256
_POINTS: Final = 12
_KEPT: Final = 60.0
"""Seconds."""
_RANKED: Final = 5
"""Models of each use."""
_KINDS: Final[Mapping[str, str]] = {"thrifty": "The least money", "balanced": "The balance", "roomy": "Room to grow"}


class Sizing:
    """Answers questions. Everything that it does not know itself is handed to it, so that it can be asked about any machine."""

    def __init__(
        self,
        *,
        subjects: Subjects,
        devices: Callable[[], Devices],
        machine: Callable[[], Target],
        carded: Callable[[], Target] | None = None,
        prices: Callable[[], Prices],
        accuracy: Callable[[], Accuracy],
        fit: FitPass | None = None,
        distant: Distant | None = None,
        calibration: Callable[[], Calibration | None] = lambda: None,
        about: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """`machine` may take seconds, where it is measured for the first time; `carded` is the same with its cards, even if llama.cpp's build
        cannot use them. `prices` raise `InvalidRequest` for what the user got wrong in theirs.
        `distant`: reads heads of models that lie elsewhere; `None`: nobody is asked. `about`: what is to be said of this machine besides."""
        self._subjects = subjects
        self._devices = devices
        self._machine = machine
        self._carded = carded or machine
        self._prices = prices
        self._fit = fit
        self._distant = distant
        self._calibration = calibration
        self._about = about
        self.accuracy = accuracy
        self.glances = Glances(subjects=subjects, machine=machine, calibration=calibration)
        self._turn = asyncio.Semaphore(1)
        self._kept: dict[Question, tuple[float, Answer]] = {}

    async def answer(self, question: Question) -> Answer:
        """Raises `NotFound` and `InvalidRequest` with near names and what to do, `LoadFailed` where the engine cannot lay a file out."""
        answer = await self._answer(question)
        try:
            found = await asyncio.to_thread(self.accuracy)
        except StoreError:  # what was asked is answered all the same
            return answer
        return replace(answer, accuracy=found) if found.loads else answer

    async def known(self) -> dict[str, Any]:
        """What a question can name, as JSON. Raises `InvalidRequest` for what the user got wrong in their prices."""
        return await asyncio.to_thread(lambda: known(self._devices(), self._prices()))

    async def _answer(self, question: Question) -> Answer:
        if not question.models:
            return await self._reckoned(self._found, question)
        if question.method == "fit" and self._fit is None:
            raise InvalidRequest("There is no engine here that could lay a model out; the method is arithmetic.", param="method")
        # Names before the machine: that may take seconds to measure, a slip in a name should not.
        precision = question.precision if question.engine == "llamacpp" else ""
        subjects = [await self._subject(name, precision) for name in question.models]
        draft = await self._subject(question.draft, "") if question.draft else None
        calibration = await asyncio.to_thread(self._calibrated, question)
        plans = await self._reckoned(self._plans, question, subjects, draft, calibration)
        if question.method == "fit" and self._fit is not None:
            plans = [(subject, with_footprint(made, await self._fit(subject, made.start))) for subject, made in plans]
        return await self._reckoned(self._told, question, plans, draft, calibration)

    async def _reckoned(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """One at a time: a ranking keeps a core busy for seconds, and goes on when whoever asked has left."""
        async with self._turn:
            return await to_its_end(work, *given, **named)

    async def _subject(self, name: str, precision: str) -> Subject:
        try:
            return await asyncio.to_thread(self._subjects.find, name, precision)
        except NotFound:
            if self._distant is None or (address := address_of(name, precision)) is None:
                raise
            return await self._distant(address)

    def _found(self, question: Question) -> Answer:
        """Looked for among all models, which takes seconds: what was found a moment ago is found again."""
        now = time.monotonic()
        self._kept = {asked: kept for asked, kept in self._kept.items() if now - kept[0] < _KEPT}
        if question not in self._kept:
            self._kept[question] = (now, self._ranking(question) if question.purpose is None else self._buying(question))
        return self._kept[question][1]

    def _ranking(self, question: Question) -> Answer:
        """What the machine runs well, by use. A model that is good for several is named once."""
        prices = self._prices()
        terms, there = self._terms(question, prices), self._target(question, prices)
        calibration = self._calibrated(question)
        sheets: dict[str, Sheet] = {}
        well = False
        for use in USES:
            for one in best_here(
                catalogue(), there, use, context=question.context, users=question.users or 1, count=_RANKED, calibration=calibration
            ):
                if one.wish.model not in sheets:
                    wish = replace(one.wish, volume=volume_of(question, prices))
                    sheets[one.wish.model] = Sheet(plan=plan(wish, there, prices, terms, calibration=calibration), use=use)
                    well = well or one.good
        return Answer(
            advice=_ranked(there, list(sheets.values()), well, question.context),
            sheets=tuple(sheets.values()),
            ranked=True,
            hints=self._hints(question),
            about=self._of_here(question),
        )

    def _buying(self, question: Question) -> Answer:
        assert question.purpose is not None
        prices, people = self._prices(), question.users or 1
        terms = self._terms(question, prices)
        found = what_to_buy(
            question.purpose, people, question.budget, devices=self._devices(), models=catalogue(), prices=prices, context=question.context
        )
        choices = [self._choice(one, people, question, prices, terms) for one in found]
        hint = "prices move; put your own into prices.toml in the home folder"
        return Answer(advice=_what_to_buy(question.purpose, people, found), choices=choices, hints=(hint,))

    def _choice(self, one: Proposal, people: int, question: Question, prices: Prices, terms: Terms) -> Choice:
        wish = replace(one.ranked.wish, people=people, volume=volume_of(question, prices))
        made = plan(wish, one.offer.target, prices, terms)
        made = replace(made, assumptions=tuple(dict.fromkeys((*made.assumptions, *one.assumptions))))
        return Choice(
            kind=one.kind,
            title=_KINDS[one.kind],
            reasons=(one.reason,),
            sheet=Sheet(plan=made, paces=tuple(_paces(made, None)), crowd=crowd(made)),
            gpu=name_of(one.offer.device, self._devices()),
            gpus=one.offer.count,
            condition=one.offer.condition,
        )

    def _calibrated(self, question: Question) -> Calibration | None:
        """What was measured here says nothing of a machine that is only named."""
        return None if question.gpu else self._calibration()

    def _plans(
        self, question: Question, subjects: Sequence[Subject], draft: Subject | None, calibration: Calibration | None
    ) -> list[tuple[Subject, Plan]]:
        prices = self._prices()
        terms = self._terms(question, prices)
        there = self._target(question, prices)
        if question.engine == "vllm":
            device = there.group.device if there.group is not None else None
            subjects = [published(subject, name, question.precision, device) for subject, name in zip(subjects, question.models, strict=True)]
        return [(one, plan(wished(one, question, prices, draft), there, prices, terms, calibration=calibration)) for one in subjects]

    def _target(self, question: Question, prices: Prices) -> Target:
        if question.gpu:
            return bought(self._devices(), prices, question.gpu, count=question.gpus, nodes=question.nodes)
        return self._machine() if question.engine == "llamacpp" else self._carded()

    def _terms(self, question: Question, prices: Prices) -> Terms:
        against = (question.cloud,) if question.cloud else ()
        country = prices.country(question.country) if question.country else Terms().country
        if question.cloud and question.cloud not in prices.names("subscriptions"):
            against = (prices.cloud(question.cloud).name,)
        return Terms(country=country, upkeep_hours=question.upkeep_hours, upkeep_rate=question.upkeep_rate, against=against)

    def _told(self, question: Question, plans: Sequence[tuple[Subject, Plan]], draft: Subject | None, calibration: Calibration | None) -> Answer:
        sheets = [self._sheet(question, subject, made, calibration) for subject, made in plans]
        hints, about = self._hints(question, plans, draft), self._of_here(question)
        if len(plans) == 1:
            made = plans[0][1]
            return Answer(advice=_most(made) if question.max_context else made.sentence, sheets=sheets, hints=hints, about=about)
        return Answer(advice=_side_by_side([made for _, made in plans]), sheets=sheets, hints=hints, about=about)

    def _sheet(self, question: Question, subject: Subject, made: Plan, calibration: Calibration | None) -> Sheet:
        smaller = None
        if not made.fits or (question.detail and not made.good and made.wish.task == "generate"):
            smaller = _smaller(question, subject, made, calibration)
        sheet = _sheet(question, subject, made, calibration, smaller)
        if not question.detail:
            return sheet
        helping: Sequence[Way] = ()
        if not made.good:
            prices, devices = self._prices(), self._devices()
            there = offers(devices, prices)
            terms = self._terms(question, prices)
            helping = tuple(ways(subject, made, smaller, offers=there, devices=devices, prices=prices, terms=terms))
        return replace(sheet, needs=memory_by_context(made), ways=helping)

    def _hints(self, question: Question, plans: Sequence[tuple[Subject, Plan]] = (), draft: Subject | None = None) -> tuple[str, ...]:
        told = [
            f"{subject.name} was made for {subject.trained:,} tokens of context; planned with these"
            for subject, _ in plans
            if question.context and subject.trained and question.context > subject.trained
        ]
        if question.method == "arithmetic":
            told += filter(None, (remedy(made) for _, made in plans))
        if question.engine == "vllm":
            told += _under_vllm(plans)
        if draft is not None:
            told += [about_draft(draft, subject) for subject, made in plans if made.fits]
        return (*dict.fromkeys(told), *self._of_here(question))

    def _of_here(self, question: Question) -> tuple[str, ...]:
        return self._about() if not question.gpu and question.engine == "llamacpp" else ()


def _under_vllm(plans: Sequence[tuple[Subject, Plan]]) -> Iterator[str]:
    """What the figures leave open."""
    from hausgeist.planner.speed import KINDS

    if any(made.fits for _, made in plans):
        yield f"speeds under vLLM rest on {KINDS['vllm'].measured[0]} published measurements, of writing only: how fast it reads is an estimate"


def _sheet(question: Question, subject: Subject, made: Plan, calibration: Calibration | None, smaller: Ranked | None) -> Sheet:
    if not made.fits:
        return Sheet(plan=made, next=_instead(question, subject, smaller))
    missing = subject.install and subject.installed is None and not question.gpu
    return Sheet(
        plan=made,
        paces=tuple(_paces(made, calibration)),
        crowd=crowd(made, calibration=calibration),
        next=f"get it with 'hausgeist pull {subject.install}'" if missing else "",
    )


def _smaller(question: Question, subject: Subject, made: Plan, calibration: Calibration | None) -> Ranked | None:
    """The largest for the same uses that fits under llama.cpp."""
    if made.pages is not None:
        return None
    like = model_of(subject.entry) if subject.entry is not None else None
    return largest_that_fits(catalogue(), made.target, like=like, context=question.context, users=made.wish.users, calibration=calibration)


def _instead(question: Question, subject: Subject, found: Ranked | None) -> str:
    """What fits in place of a model, and how to go on with it."""
    if found is None:
        return ""
    alike = "for the same uses " if subject.entry is not None else ""
    largest = f"the largest {alike}that {'runs well' if found.good else 'fits'} there is {found.wish.title}"
    if not question.gpu:
        return f"{largest}: 'hausgeist run {found.wish.model}'"
    machine = f" --gpu '{question.gpu}'"
    machine += "".join(f" --{name} {count}" for name, count in (("gpus", question.gpus), ("nodes", question.nodes)) if count > 1)
    return f"{largest}: hausgeist plan {found.wish.model}{machine}"


def _paces(made: Plan, calibration: Calibration | None) -> Iterator[Pace]:
    """From a short text to the longest that fits."""
    run = speeds()
    most = max(made.max_context, made.wish.tokens)
    lengths = sorted({*(_SHORTEST * 2**step for step in range(_POINTS * 2) if _SHORTEST * 2**step < most), made.wish.tokens, most})
    for length in lengths[-_POINTS:]:
        start = replace(made.start, context=max(length, made.start.context))
        found = run(
            made.wish.header, start, made.target, gpu_layers=made.gpu_layers, filled=length, users=made.working, calibration=calibration,
            engine=made.wish.engine, ways=made.pages.tensor_parallel if made.pages is not None else 0,
        )  # fmt: skip
        yield Pace(
            context=length,
            prompt_tokens_per_second=found.prompt_tokens_per_second,
            generate_tokens_per_second=found.generate_tokens_per_second,
            first_token_seconds=found.first_token_seconds,
        )


def _most(made: Plan) -> str:
    """How much context fits, said first."""
    name, where = made.wish.title, made.target.title + (" under vLLM" if made.pages is not None else "")
    if not made.max_context:
        return f"{name} does not fit on {where} with any context."
    slots = f" for each of {made.slots} requests at once" if made.slots > 1 else ""
    whole = ", all that it was made for" if made.max_context >= made.wish.made_for else f", of {made.wish.made_for:,} that it was made for"
    part = ", with some layers left to the processor" if made.placed == "offload" else ""
    return f"On {where} {name} can have {made.max_context:,} tokens of context{slots}{whole}{part}."


def _side_by_side(plans: Sequence[Plan]) -> str:
    where = plans[0].target.title
    good = [made for made in plans if made.good]
    fitting = [made for made in plans if made.fits]
    if not fitting:
        least = min(plans, key=lambda made: made.missing_bytes)
        return f"None of these {len(plans)} fits on {where}; {least.wish.title} is nearest, {gib(least.missing_bytes)} too large."
    if len(good) == len(plans):
        return f"All of these {len(plans)} run well on {where}."
    if good:
        names = _listed([made.wish.title for made in good])
        return f"Of these {len(plans)}, {names} run{'s' if len(good) == 1 else ''} well on {where}."
    best = max(fitting, key=lambda made: made.empty.generate_tokens_per_second if made.empty is not None else 0.0)
    pace = f", with {best.empty.generate_tokens_per_second:.2g} tokens per second" if best.empty is not None else ""
    return f"None of these {len(plans)} runs well on {where}; {best.wish.title} is the fastest that fits{pace}."


def _what_to_buy(purpose: str, people: int, found: Sequence[Proposal]) -> str:
    by_kind = {one.kind: one for one in found}
    best = by_kind.get("balanced", found[0])
    many = f"{people} people" if people > 1 else "one person"
    said = f"For {purpose} with {many}: {best.offer.target.title}, about {best.offer.price_eur:,.0f} EUR, which runs {best.ranked.wish.title}."
    least, room = by_kind.get("thrifty"), by_kind.get("roomy")
    if least is not None and least is not best:
        said += f" It goes from {least.offer.price_eur:,.0f} EUR on, with {least.ranked.wish.title}."
    if room is not None and room is not best:
        said += f" {room.offer.price_eur:,.0f} EUR leave room to grow."
    return said


def _ranked(there: Target, sheets: Sequence[Sheet], well: bool, context: int | None) -> str:
    if not sheets:
        return f"{there.title} runs no model of the catalogue{f' with a context of {context:,} tokens; ask for less' if context else ''}."
    first = sheets[0].plan
    rate = f", at about {first.empty.generate_tokens_per_second:.0f} tokens per second" if first.empty is not None else ""
    if well:
        return f"{there.title} runs {first.wish.title} well{rate}; that promises the best answers, these others fit as well."
    return f"{there.title} runs no model as fast as one reads; {first.wish.title} comes nearest{rate}."


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
