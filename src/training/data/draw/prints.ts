/** Signed distances to shapes of about radius 1 around the origin, negative inside; y points down. */
type Shape = (x: number, y: number) => number;

const length = (x: number, y: number) => Math.sqrt(x * x + y * y);

const box =
  (cx: number, cy: number, halfWidth: number, halfHeight: number): Shape =>
  (x, y) => {
    const dx = Math.abs(x - cx) - halfWidth;
    const dy = Math.abs(y - cy) - halfHeight;
    return length(Math.max(dx, 0), Math.max(dy, 0)) + Math.min(Math.max(dx, dy), 0);
  };

const union = (first: Shape, ...others: readonly Shape[]): Shape => {
  if (others.length === 0) return first;
  const [second, ...rest] = others as [Shape, ...Shape[]];
  const other = union(second, ...rest);
  return (x, y) => Math.min(first(x, y), other(x, y));
};

/** A bar from one place to another. */
function bar(ax: number, ay: number, bx: number, by: number, radius = 0.19): Shape {
  const [dx, dy] = [bx - ax, by - ay];
  const squared = dx * dx + dy * dy;
  return (x, y) => {
    const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / squared));
    return length(x - ax - t * dx, y - ay - t * dy) - radius;
  };
}

/** A star of five points: the plane is folded onto one half of one ray. */
const star: Shape = (x, y) => {
  const fifth = (2 * Math.PI) / 5;
  const turn = Math.atan2(x, -y);
  const folded = Math.abs(turn - fifth * Math.round(turn / fifth));
  const radius = length(x, y);
  const [px, py] = [radius * Math.sin(folded), radius * Math.cos(folded)];
  const [ex, ey] = [0.5 * Math.sin(fifth / 2), 0.5 * Math.cos(fifth / 2) - 1.1]; // from the tip to the notch
  return ((py - 1.1) * -ex + px * ey) / -length(ex, ey);
};

/** What may be printed on a chest. */
export const PRINTS = {
  disc: (x, y) => length(x, y) - 0.95,
  ring: (x, y) => Math.abs(length(x, y) - 0.75) - 0.24,
  star,
  square: box(0, 0, 0.8, 0.8),
  diamond: (x, y) => (Math.abs(x) + Math.abs(y) - 1.1) * Math.SQRT1_2,
  band: box(0, 0, 1.5, 0.4),
  letterA: union(bar(-0.7, 0.9, 0, -0.9), bar(0, -0.9, 0.7, 0.9), bar(-0.4, 0.3, 0.4, 0.3)),
  letterT: union(box(0, -0.75, 0.85, 0.22), box(0, 0.1, 0.24, 0.9)),
  letterX: union(bar(-0.7, -0.85, 0.7, 0.85, 0.22), bar(0.7, -0.85, -0.7, 0.85, 0.22)),
  letterE: union(box(-0.5, 0, 0.24, 0.95), box(0.1, -0.74, 0.7, 0.21), box(0, 0, 0.55, 0.2), box(0.1, 0.74, 0.7, 0.21)),
  letterH: union(box(-0.55, 0, 0.24, 0.95), box(0.55, 0, 0.24, 0.95), box(0, 0, 0.5, 0.22)),
  seven: union(box(0, -0.75, 0.75, 0.22), bar(0.55, -0.65, -0.2, 0.85, 0.22)),
} as const satisfies Record<string, Shape>;

export type PrintName = keyof typeof PRINTS;
