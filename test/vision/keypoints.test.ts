import { expect, test } from "vitest";
import { FormatError } from "../../src/util/errors.ts";
import { parseKeyPoints } from "../../src/vision/keypoints.ts";

const POSE = Array.from({ length: 18 }, (_, i) => ({ x: 10 * i + 0.5, y: 500 - i }));
const pairs = POSE.map(({ x, y }) => [x, y]);
const triples = pairs.map((pair) => [...pair, 0.9]);

test.each([
  ["pairs", { pose_keypoints_2d: pairs }],
  ["points with confidence", { pose_keypoints_2d: triples }],
  ["all numbers in one list", { pose_keypoints_2d: pairs.flat() }],
  ["all numbers in one list, with confidence", { pose_keypoints_2d: triples.flat() }],
  ["Dress Code's", { keypoints: triples.map((point, i) => [...point, i]), version: 1 }],
])("%s", (_, json) => {
  expect(parseKeyPoints("pose.json", JSON.stringify(json))).toEqual(POSE);
});

test.each([
  ["no JSON", "{", "is not JSON"],
  ["nothing known", "{}", 'holds no "pose_keypoints_2d" or "keypoints" that is a list of numbers or of points'],
  ["a list", "[]", 'holds no "pose_keypoints_2d" or "keypoints" that is a list of numbers or of points'],
  ["text among numbers", '{"keypoints": [1, "2"]}', "holds no"],
  ["no points", '{"keypoints": []}', "holds 0 key points; there must be 18"],
  ["17 points", JSON.stringify({ keypoints: pairs.slice(1) }), "holds 17 key points; there must be 18"],
  [
    "OpenPose's 25 points",
    JSON.stringify({ keypoints: new Array(75).fill(1) }),
    "holds 75 numbers; 18 key points have 36, or 54 with confidence",
  ],
  ["a point of one number", JSON.stringify({ keypoints: [...pairs.slice(1), [3]] }), "key point 17 is no [x, y]"],
  ["numbers and points", JSON.stringify({ keypoints: [...new Array(35).fill(1), [2]] }), "entry 35 of the key points"],
  ["points and numbers", JSON.stringify({ keypoints: [...pairs.slice(1), 3] }), "key point 17 is no [x, y]"],
  ["no number", '{"keypoints": [[1e999, 2]]}', "holds no"],
])("%s: one line that names the file", (_, text, message) => {
  const parse = () => parseKeyPoints("pose.json", text);
  expect(parse).toThrow(FormatError);
  expect(parse).toThrow(`pose.json: ${message}`);
});
