/** The questions and answers of the open chat on the page: made once, kept while they stay, drawn when the reader comes near or nothing else is to do. */

import { entriesOf } from "./said.js";
import { Answer, Question } from "./turns.js";

const AT_ONCE = 12;
const idle = window.requestIdleCallback ?? (run => setTimeout(() => run({ timeRemaining: () => 8 }), 60));

export class Thread {
  /** `page`: what can be done with a turn (see chat.js). */
  constructor(root, scroller, page) {
    this.root = root;
    this.page = page;
    this.turns = [];
    this.pending = null;
    this.live = null;
    this.near = new IntersectionObserver(seen => { for (const one of seen) if (one.isIntersecting) this.#fill(one.target.turn); }, { root: scroller, rootMargin: "1200px 0px" });
  }

  get last() {
    return this.turns.at(-1);
  }

  clear() {
    for (const turn of this.turns) this.near.unobserve(turn.element);
    this.turns = [];
    this.pending = this.live = null;
    this.root.replaceChildren();
  }

  /** Show these items. What stands there already stays as it is, with its place and what was opened in it. */
  show(items) {
    const entries = entriesOf(items), known = new Map(this.turns.map(turn => [turn.entry?.key, turn]));
    const kept = new Set();
    this.turns = entries.map((entry, place) => {
      const turn = known.get(entry.key) ?? this.#adopt(entry, kept) ?? (entry.kind === "question" ? new Question(entry, this.page) : new Answer(entry, this.page));
      kept.add(turn);
      turn.update(entry, place === entries.length - 1);
      return turn;
    });
    if (this.live?.going && !kept.has(this.live)) this.turns.push(this.live);
    else if (!this.live?.going) this.live = null;
    this.#place();
    this.turns.slice(-AT_ONCE).forEach(turn => this.#fill(turn));
    this.#rest();
  }

  /** The question that was sent, and the answer that was being made, are what the chat has now. */
  #adopt(entry, kept) {
    if (entry.kind === "question" && this.pending) {
      const turn = this.pending;
      this.pending = null;
      return turn;
    }
    if (entry.kind === "answer" && this.live && !kept.has(this.live) && entry.items.some(one => this.live.ids.has(one.item.id))) {
      const turn = this.live;
      this.live = null;
      return turn;
    }
    return null;
  }

  #place() {
    const wanted = new Set(this.turns.map(turn => turn.element));
    for (const element of [...this.root.children]) if (element.turn && !wanted.has(element)) { this.near.unobserve(element); element.remove(); }
    let at = this.root.firstElementChild;
    for (const turn of this.turns) {
      turn.element.turn = turn;
      if (turn.element === at) at = at.nextElementSibling;
      else this.root.insertBefore(turn.element, at);
      if (!turn.filled) this.near.observe(turn.element);
    }
  }

  #fill(turn) {
    this.near.unobserve(turn.element);
    turn.fill();
  }

  /** What is far away is drawn when there is time, from the end up, so that the browser's own search finds it. */
  #rest() {
    if (this.resting) return;
    this.resting = true;
    const step = deadline => {
      // An answer that is being made comes first.
      if (this.live?.going) { this.resting = false; return; }
      let left = this.turns.findLastIndex(turn => !turn.filled);
      while (left >= 0 && deadline.timeRemaining() > 4) {
        this.#fill(this.turns[left]);
        left = this.turns.findLastIndex((turn, place) => place < left && !turn.filled);
      }
      if (left >= 0) idle(step);
      else this.resting = false;
    };
    idle(step);
  }

  /** A question on its way. `item` as the chat will have it. */
  ask(item) {
    const entry = { kind: "question", key: "", items: [{ item, response: null, created: Date.now() / 1000 }], made: null, response: null, beside: null, pending: true };
    const turn = new Question(entry, this.page);
    turn.update(entry, false);
    turn.fill();
    turn.element.turn = turn;
    this.pending = turn;
    this.last?.update(this.last.entry, false);
    this.root.append(turn.element);
    return turn;
  }

  /** The question was not taken: away with it. */
  takeBack() {
    this.pending?.element.remove();
    this.pending = null;
  }

  /** Where an answer grows: one of its own, or the last one, which was cut off. */
  begin({ goOn = false } = {}) {
    const last = this.last;
    if (goOn && last?.entry?.cut) {
      this.live = last;
    } else {
      this.live = new Answer({ kind: "answer", key: "", items: [], made: null, response: null, beside: null, cut: false }, this.page);
      this.live.element.turn = this.live;
      this.root.append(this.live.element);
    }
    this.live.begin();
    return this.live;
  }

  /** The answer is over, and nothing of it is in the chat. */
  drop() {
    const { live } = this;
    this.live = null;
    if (live && !this.turns.includes(live)) live.element.remove();
  }

  /** The turn with an item. */
  of(item) {
    return this.turns.find(turn => turn.entry.items.some(one => one.item.id === item));
  }
}
