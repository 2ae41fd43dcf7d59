from __future__ import annotations
import json
def test_x(live):
    c = live.anthropic()
    for model in ("fake:echo", "tiny"):
        m = c.messages.create(model=model, max_tokens=20, messages=[{"role":"user","content":"Hello there"}])
        print(m)
        with c.messages.stream(model=model, max_tokens=20, messages=[{"role":"user","content":"Hello there"}]) as s:
            for e in s: print(e.type, end=" ")
            print(s.get_final_message())
        print(c.messages.count_tokens(model=model, messages=[{"role":"user","content":"Hello there"}]))
    print(c.models.list())
    o = live.ollama()
    for model in ("fake:echo","tiny"):
        print(o.generate(model=model, prompt="Hello"))
        print(list(o.chat(model=model, messages=[{"role":"user","content":"Hello"}], stream=True, options={"num_predict":5})))
    print(o.embed("tiny-embed", input=["a","b"]).embeddings[0][:4])
    print(o.show("tiny")); print(o.ps())
