import { z } from "zod";
import { FormatError } from "../util/errors.ts";
import type { Pose } from "./pose.ts";

const POINTS = 18;

const Points = z.array(z.union([z.number(), z.array(z.number())]), { error: "is no list of points" });
const File = z.union([
  z.looseObject({ pose_keypoints_2d: Points }),
  z.looseObject({ keypoints: Points }), // Dress Code's
]);

/**
 * Key points from JSON: `{"pose_keypoints_2d": …}` or `{"keypoints": …}` with 18 points in pixels of 384x512, each
 * [x, y] or [x, y, confidence, …], or all numbers in one list.
 * @param name - the file's, for messages
 * @throws FormatError in one line
 */
export function parseKeyPoints(name: string, text: string): Pose {
  const bad = (what: string) => new FormatError(name, what);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw bad("is not JSON");
  }
  const file = File.safeParse(json);
  if (!file.success) throw bad('holds no "pose_keypoints_2d" or "keypoints" that is a list of numbers or of points');
  const values = ("pose_keypoints_2d" in file.data ? file.data.pose_keypoints_2d : file.data.keypoints) as
    number[] | number[][];
  const points = isFlat(values) ? unflatten(values, bad) : values;
  if (points.length !== POINTS) throw bad(`holds ${points.length} key points; there must be ${POINTS}`);
  return points.map((point, i) => {
    const [x, y] = Array.isArray(point) ? point : [];
    if (x === undefined || y === undefined) throw bad(`key point ${i} is no [x, y]`);
    return { x, y };
  });
}

const isFlat = (values: readonly (number | number[])[]): values is number[] => typeof values[0] === "number";

function unflatten(values: readonly (number | number[])[], bad: (what: string) => FormatError): number[][] {
  const each = values.length / POINTS;
  if (each !== 2 && each !== 3)
    throw bad(`holds ${values.length} numbers; ${POINTS} key points have 36, or 54 with confidence`);
  const wrong = values.findIndex((value) => typeof value !== "number");
  if (wrong >= 0) throw bad(`entry ${wrong} of the key points is no number`);
  return Array.from({ length: POINTS }, (_, i) => values.slice(i * each, (i + 1) * each) as number[]);
}
