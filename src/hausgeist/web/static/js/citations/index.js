/**
 * Citations of answers, for every page that shows some: marks in a text, the list below it, and the viewer beside it.
 *
 * A citation is what /house/v1/responses/{id}/citations has in `data`: {file_id, filename, label, page, start, end, quote, said, kind, verified, moved,
 * boxes}. Fewer are enough: {file_id, filename} opens the file, with `start` and `end` the passage is marked. Of several answers on one page each is within
 * an element with the attribute data-answer. Pages that use these need the texts "citations" and the style css/citations.css.
 *
 *   citationMark(list, index, {number})   a button "1" for the text; a click opens list[index] in the viewer
 *   citationList(list)                    the numbered list below an answer
 *   unfounded(list)                       what of the answer no document bears out, as a notice; null where there is nothing
 *   anchored(text, annotations)           a text with places for marks in it, for markdown(text, {anchor: number => citationMark(...)})
 *   anchor(number)                        such a place, to be written while an answer streams
 *   openCitation(list, index, {opener})   the viewer at a citation; `opener` gets the focus back
 *   openFile({file_id, filename}, {page, opener})   the viewer at a page, without a mark
 *   closeViewer()
 */

export { anchor, anchored, citationList, citationMark, unfounded } from "./marks.js";
export { closeViewer, openCitation, openFile } from "./viewer.js";
