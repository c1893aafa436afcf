import { describe, expect, test } from "vitest";
import { InputError } from "../../src/util/errors.ts";
import { TorchGenerator } from "../../src/util/random.ts";
import { loadFixture } from "../helpers.ts";

const reference = loadFixture("torch_random.safetensors");
const names = [...reference.keys()];

/** Largest absolute difference. */
function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  return worst;
}

describe("TorchGenerator equals torch.Generator on the CPU", () => {
  test.for(names.filter((name) => name.startsWith("randn.")))("%s", (name) => {
    const { shape, data } = reference.get(name)!;
    expect(distance(new TorchGenerator(Number(name.split(".")[1])).randn(shape), data)).toBeLessThan(1e-6);
  });

  test.for(names.filter((name) => name.startsWith("half.")))("%s", (name) => {
    const { shape, data } = reference.get(name)!;
    expect(distance(new TorchGenerator(Number(name.split(".")[1])).randn(shape, "f16"), data)).toBeLessThan(1e-6);
  });

  test.for(["0", "42", "1234567", "2147483647"])("one generator draws several kinds in turn, seed %s", (seed) => {
    const generator = new TorchGenerator(BigInt(seed));
    const [first, second, uniform, integers] = ["0", "1", "rand", "randint"].map((k) =>
      reference.get(`seq.${seed}.${k}`)!,
    );
    expect(distance(generator.randn(first!.shape), first!.data)).toBeLessThan(1e-6);
    expect(distance(generator.randn(second!.shape), second!.data)).toBeLessThan(1e-6);
    expect(generator.rand(uniform!.shape)).toEqual(uniform!.data);
    expect([...generator.randint(0, 1000, integers!.shape)]).toEqual([...integers!.data]);
  });
});

describe("TorchGenerator", () => {
  test("is MT19937: the 10,000th word of seed 5489 is 4123659995", () => {
    expect(new TorchGenerator(5489).rand([10_000]).at(-1)).toBe((4123659995 & 0xffffff) / 2 ** 24);
  });

  test("keeps the second number of a pair for the next short draw, and forgets it with a new seed", () => {
    const together = new TorchGenerator(7).randn([15]);
    const generator = new TorchGenerator(7);
    expect([...generator.randn([3]), ...generator.randn([2, 6])]).toEqual([...together]);
    expect(generator.manualSeed(7).randn([15])).toEqual(together);
  });

  test("uses the low 32 bits of a seed, as PyTorch does", () => {
    const draw = (seed: number | bigint) => [...new TorchGenerator(seed).rand([4])];
    expect(draw(2n ** 64n - 1n)).toEqual(draw(2 ** 32 - 1));
    expect(draw(-1)).toEqual(draw(2n ** 64n - 1n));
    expect(draw(2 ** 32 + 42)).toEqual(draw(42));
  });

  test.for([2n ** 64n, -(2n ** 63n) - 1n, 0.5, NaN, 2 ** 60])("refuses the seed %s", (seed) => {
    expect(() => new TorchGenerator(seed)).toThrow(InputError);
  });

  test("randint takes two words for wide ranges and refuses empty ones", () => {
    const words = new TorchGenerator(3).randint(0, 2 ** 28 - 1, [2]);
    expect([...words].every((word) => word >= 0 && word < 2 ** 28)).toBe(true);
    const generator = new TorchGenerator(3);
    generator.randint(-(2 ** 30), 2 ** 30, [2]);
    expect(generator.rand([1])).toEqual(new TorchGenerator(3).rand([5]).slice(4));
    expect(() => generator.randint(5, 5, [1])).toThrow("randint: 5 to 5");
  });

  test("makes empty tensors and refuses negative sizes", () => {
    expect(new TorchGenerator(0).randn([0, 4])).toHaveLength(0);
    expect(() => new TorchGenerator(0).rand([-1])).toThrow("rand: [-1]");
  });
});
