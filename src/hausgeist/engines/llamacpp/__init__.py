"""llama.cpp: each loaded model in a worker process of its own, without network, run by the wheel or by a llama-server (`providers`)."""

__all__ = []
