"""From a model, a task and what a request asks for to the plan by which a worker is launched. Pure."""

from __future__ import annotations

from dataclasses import replace

from hausgeist.errors import InvalidRequest
from hausgeist.model import InstalledModel, LaunchPlan, Task
from hausgeist.settings import Settings

__all__ = ["launch_plan", "smaller", "task_of"]


def task_of(model: InstalledModel, task: Task) -> Task:
    """The task, if the model is made for it. Raises `InvalidRequest` naming what it is made for."""
    if task in model.tasks:
        return task
    made_for = {"generate": "answers text", "embed": "makes embeddings", "rerank": "ranks documents"}
    wanted = {"generate": "generate text", "embed": "make embeddings", "rerank": "rank documents"}
    raise InvalidRequest(f"The model '{model.id}' cannot {wanted[task]}; it {' and '.join(made_for[one] for one in model.tasks)}.", param="model")


def launch_plan(model: InstalledModel, task: Task, settings: Settings, *, context: int | None = None) -> LaunchPlan:
    """What is asked for comes first, then the model's own options, then the settings; never more context than the model was trained for."""
    options = model.options
    stored = model.parameters.get("num_ctx")
    wanted = context or options.context or (int(stored) if isinstance(stored, (int, float)) else 0)
    trained = model.shape.context_length
    if not wanted:
        # An embedding or a ranking has its whole input in one batch, so the model's own limit is the natural one.
        wanted = settings.context if task == "generate" else min(trained or settings.context, max(settings.context, 8192))
    return LaunchPlan(
        model=model,
        task=task,
        context=min(wanted, trained) if trained else wanted,
        slots=options.slots or settings.slots,
        cache_type=options.cache_type,
        flash_attention=options.flash_attention,
        threads=options.threads,
        gpu_layers=options.gpu_layers,
        tensor_split=options.tensor_split,
        projector=options.projector,
        adapters=options.adapters,
        draft=options.draft,
        speculation=options.speculation,
        # Without pooling an engine gives one vector per token, which no client expects.
        pooling=options.pooling or model.shape.pooling or ("mean" if task == "embed" else None),
    )


def smaller(plan: LaunchPlan) -> LaunchPlan | None:
    """The next more modest plan when memory is short: half the slots, unless the user chose their number. `None`: there is none."""
    if plan.slots <= 1 or plan.model.options.slots is not None:
        return None
    return replace(plan, slots=plan.slots // 2)
