"""What grows with the context, and what does not: caches of keys and values per layer, states of recurrent layers.

Source: llama.cpp's src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp and `llama_model::create_memory`.
"""

from __future__ import annotations

from hausgeist.planner.memory.header import Header, row_bytes

__all__ = ["cache_bytes", "padded", "state_bytes", "state_widths", "window_cells"]

_CELLS = 256
"""Caches grow in steps of so many tokens (`GGML_PAD(n_ctx, 256)` in src/llama-context.cpp)."""


def padded(tokens: int) -> int:
    return -(-tokens // _CELLS) * _CELLS


def window_cells(header: Header, cells: int, *, slots: int, unified: bool, micro_batch: int) -> int:
    """Tokens that the cache of a windowed layer holds: the window and one step, no more than the others (`llama_kv_cache_iswa`)."""
    return padded(min(cells, header.window * (slots if unified else 1) + micro_batch))


def cache_bytes(header: Header, *, cells: int, window: int, streams: int, cache_type: str, flash: bool) -> tuple[int, ...]:
    """Bytes of keys and values per layer.

    `cells`, `window`: tokens per stream in layers that see everything, and in windowed ones. With latent attention there is only one vector per
    token, of which the values are a part. Without flash attention values are stored across, each layer as wide as the widest.
    """
    if header.cacheless:
        return (0,) * header.layers
    widest = max(header.value_length(layer) * header.kv_heads[layer] for layer in range(header.layers))
    index = header.number("attention.indexer.key_length")  # one more key per token, to choose what is attended to (llama_kv_cache_dsa)
    sizes = []
    for layer in range(header.layers):
        heads = header.kv_heads[layer]
        stateful = header.recurrent[layer] and header.architecture != "falcon-h1"
        if layer >= header.cached_layers or stateful or not heads:
            sizes.append(0)
            continue
        row = row_bytes(cache_type, header.key_length(layer) * heads)
        if not header.latent:
            row += row_bytes(cache_type, header.value_length(layer) * heads if flash else widest)
        if index:
            row += row_bytes(cache_type, index)
        sizes.append(row * (window if header.windowed[layer] else cells) * streams)
    return tuple(sizes)


def state_widths(header: Header) -> tuple[int, int]:
    """Numbers per layer and sequence: of the convolution's state (`n_embd_r`), of the recurrence's (`n_embd_s`)."""
    if size := header.number("wkv.head_size"):
        return header.number("token_shift_count", 2) * header.hidden, header.hidden * size
    if cache := header.number("shortconv.l_cache"):
        return header.hidden * (cache - 1), 0
    kernel = header.number("ssm.conv_kernel")
    if length := header.number("kda.head_dim"):
        return 3 * (kernel - 1 if kernel else 3) * header.heads[0] * length, length * length * header.heads[0]
    inner, state = header.number("ssm.inner_size"), header.number("ssm.state_size")
    return max(kernel - 1, 0) * (inner + 2 * header.number("ssm.group_count") * state), state * inner


def state_bytes(header: Header, *, slots: int) -> tuple[int, ...]:
    """Bytes of the states per layer, always in 32 bits."""
    size = 4 * sum(state_widths(header)) * slots
    return tuple(size if header.recurrent[layer] else 0 for layer in range(header.layers))
