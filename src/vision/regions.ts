import { contourFrom, fieldOf, type Contour } from "./contours.ts";
import type { GrayImage } from "./image.ts";

/**
 * The borders that `findContours(RETR_CCOMP, CHAIN_APPROX_TC89_L1)` of OpenCV 4.7 finds on a picture of 32-bit
 * integers, which it takes for a map of labels: regions of every value have borders, the background's among them as soon
 * as a region beside it was followed, so that a blob is found again as the hole that it leaves in the background, one
 * pixel larger. In OpenCV's order.
 * @param labels - the outermost pixels are 0, or borders would lead out of the picture
 */
export function findRegionContours(labels: GrayImage): Contour[] {
  const field = fieldOf(labels);
  const { stride, values, marks } = field;
  const found: Contour[] = [];
  for (let y = 1; y <= labels.height; y++) {
    let before = y * stride; // the last pixel that was done with; the frame's is background without a mark
    for (let x = 1; x <= labels.width;) {
      const at = y * stride + x;
      const begins = values[at] !== values[before] && marks[at] === 0;
      const hole = begins && values[before] !== 0 && marks[before] === 0;
      if (begins) found.push(contourFrom(field, hole ? at - 1 : at, hole, true));
      if (hole) continue; // its border marked the pixel to the left: this one is looked at once more
      before = at;
      x++;
    }
  }
  return found;
}
