/** A page as a picture, with rectangles over the passage. The picture's place is kept before it comes: nothing moves when it does. */

import { button, h, put } from "../dom.js";
import { t } from "../text.js";
import { pictureOf, shownBefore } from "./files.js";

const WIDTHS = [600, 1000, 1600, 2400, 3600];
// Points around a box: letters do not end where the rectangle of their line does.
const MARGIN = 1.5;

/**
 * The sheet of a page. `page`: as the server tells it; `boxes`: all of the passage's; `zoom`: 1 fills the width. `name`: what the picture is called.
 * `width`: of the place that it stands in, in CSS pixels.
 */
export function sheet(file, page, { boxes = [], zoom = 1, width = 600, name = "" } = {}) {
  const points = { width: page.width || 612, height: page.height || 792 };
  const own = boxes.filter(box => box.page === page.number);
  const wanted = width * zoom * Math.min(devicePixelRatio || 1, 2);
  const picture = h("img", { class: "page-picture", alt: name, draggable: "false" });
  const marks = own.map((box, place) => h("span", { class: "page-mark", dataset: { mark: String(place) }, style: {
    left: share(box.left - MARGIN, points.width), top: share(box.top - MARGIN, points.height),
    width: share(box.right - box.left + 2 * MARGIN, points.width), height: share(box.bottom - box.top + 2 * MARGIN, points.height),
  } }));
  const element = h("div", { class: "page-sheet waiting", style: { width: `${zoom * 100}%`, aspectRatio: `${points.width} / ${points.height}` } }, picture, marks);
  const before = shownBefore(file, page.number);
  if (before) {
    picture.src = before;
    element.classList.remove("waiting");
  }
  const load = async () => {
    try {
      const sharp = await pictureOf(file, page.number, widthFor(wanted));
      if (sharp !== before) picture.src = sharp;
      await picture.decode().catch(() => {});
      element.classList.remove("waiting");
    } catch (error) {
      if (error.name === "AbortError") return;
      put(element, h("div", { class: "page-failed", role: "alert" }, h("p", {}, error.message), button(t("common.retry"), { icon: "retry", on: () => { put(element, picture, marks); load(); } })));
    }
  };
  load();
  return element;
}

/** The width in pixels that a page is asked for in, by the width that it is shown in. */
export const widthFor = wanted => WIDTHS.find(one => one >= wanted) ?? WIDTHS.at(-1);

const share = (points, whole) => `${((points / whole) * 100).toFixed(3)}%`;
