/** Where the reader is: the end is followed while they are there, and never do they lose their place. */

const NEAR = 48, LATELY = 1000, HELD = 15000;

export class Follow {
  /** `scroller` scrolls, `content` grows in it, `button` leads to the newest. */
  constructor(scroller, content, button) {
    this.scroller = scroller;
    this.button = button;
    this.last = 0;
    this.moved = -LATELY;
    this.following = true;
    for (const name of ["wheel", "touchmove", "keydown"]) scroller.addEventListener(name, () => { this.moved = performance.now(); }, { passive: true });
    // Nothing tells how long a scroll bar is held.
    scroller.addEventListener("pointerdown", () => { this.moved = performance.now() + HELD; }, { passive: true });
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Called after the layout and before the picture: what has grown and where it is looked at change together.
    new ResizeObserver(() => this.#keep()).observe(content);
    new ResizeObserver(() => this.#keep()).observe(scroller);
    button.addEventListener("click", () => { this.toEnd(); scroller.focus({ preventScroll: true }); });
  }

  /** While the end is followed, the browser does not keep another place. */
  set following(on) {
    this.on = on;
    this.scroller.style.overflowAnchor = on ? "none" : "";
  }

  get following() {
    return this.on;
  }

  get distance() {
    return this.scroller.scrollHeight - this.scroller.clientHeight - this.scroller.scrollTop;
  }

  #scrolled() {
    const { distance } = this, up = this.last - this.scroller.scrollTop;
    // Texts that turn out shorter than was guessed move the page a little, too. Far up goes only who wants to, by whatever means.
    const meant = performance.now() - this.moved < LATELY || up > this.scroller.clientHeight;
    if (distance < NEAR) this.following = true;
    else if (up > 1 && meant) this.following = false;
    this.last = this.scroller.scrollTop;
    if (this.following) this.#keep();
    else this.#show();
  }

  #keep() {
    if (this.following && this.distance > 0) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
      this.last = this.scroller.scrollTop;
    }
    this.#show();
  }

  #show() {
    const hidden = this.following || this.distance < NEAR;
    if (this.button.hidden !== hidden) this.button.hidden = hidden;
  }

  /** To the end, to be followed from now on. */
  toEnd() {
    this.following = true;
    this.#keep();
  }

  /** A page up (-1) or down (1). */
  leaf(direction) {
    if (direction < 0) this.following = false;
    this.scroller.scrollBy({ top: direction * .85 * this.scroller.clientHeight });
  }

  /** Stay here, whatever comes at the end. */
  hold() {
    this.following = false;
  }
}
