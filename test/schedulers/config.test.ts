import { describe, expect, test } from "vitest";
import { createScheduler, tryonScheduler } from "../../src/schedulers/create.ts";
import { SCHEDULER_NAMES } from "../../src/schedulers/names.ts";
import { dpmUpdate } from "../../src/schedulers/dpm_solver.ts";
import { interpolate, karrasSigmas, roundHalfEven, spacedTimesteps } from "../../src/schedulers/noise_schedule.ts";
import { levelOfSigma } from "../../src/schedulers/prediction.ts";
import { solve, unifiedUpdate } from "../../src/schedulers/unipc_update.ts";
import { InputError } from "../../src/util/errors.ts";
import { STABLE_DIFFUSION } from "./toy.ts";

const planned = (config: Record<string, unknown>, steps: number) => {
  const scheduler = createScheduler({ ...STABLE_DIFFUSION, ...config });
  scheduler.setTimesteps(steps);
  return scheduler;
};

describe("createScheduler", () => {
  test("names the known classes where it does not know one", () => {
    expect(() => createScheduler({ _class_name: "KDPM2DiscreteScheduler" })).toThrow(
      'createScheduler: _class_name is "KDPM2DiscreteScheduler"; known: UniPCMultistepScheduler, DDIMScheduler, PNDMScheduler',
    );
    expect(() => createScheduler({})).toThrow(InputError);
    expect(() => createScheduler({ _class_name: "toString" })).toThrow(InputError);
    expect(() => tryonScheduler({}, "plms")).toThrow("known: unipc, ddim, pndm, euler, euler-ancestral, dpmpp-2m");
  });

  const refused: [string, Record<string, unknown>][] = [
    ["UniPCMultistepScheduler", { use_exponential_sigmas: true }],
    ["UniPCMultistepScheduler", { use_flow_sigmas: true }],
    ["UniPCMultistepScheduler", { solver_order: 4 }],
    ["UniPCMultistepScheduler", { solver_p: {} }],
    ["UniPCMultistepScheduler", { thresholding: true }],
    ["UniPCMultistepScheduler", { predict_x0: false }],
    ["UniPCMultistepScheduler", { lower_order_final: false }],
    ["UniPCMultistepScheduler", { prediction_type: "flow_prediction" }],
    ["UniPCMultistepScheduler", { disable_corrector: 3 }],
    ["EulerDiscreteScheduler", { use_beta_sigmas: true }],
    ["EulerDiscreteScheduler", { interpolation_type: "log_linear" }],
    ["EulerDiscreteScheduler", { timestep_type: "continuous" }],
    ["EulerAncestralDiscreteScheduler", { prediction_type: "sample" }],
    ["DPMSolverMultistepScheduler", { algorithm_type: "dpmsolver" }],
    ["DPMSolverMultistepScheduler", { algorithm_type: "sde-dpmsolver++", solver_order: 3 }],
    ["DPMSolverMultistepScheduler", { lambda_min_clipped: -5.1 }],
    ["DPMSolverMultistepScheduler", { variance_type: "learned" }],
    ["DPMSolverMultistepScheduler", { use_lu_lambdas: true }],
    ["DDIMScheduler", { rescale_betas_zero_snr: true }],
    ["DDIMScheduler", { beta_schedule: "sigmoid" }],
    ["DDIMScheduler", { timestep_spacing: "uniform" }],
    ["DDIMScheduler", { clip_sample: "yes" }],
    ["DDPMScheduler", { variance_type: "learned_range" }],
    ["DDPMScheduler", { beta_start: "small" }],
    ["DDPMScheduler", { trained_betas: [0.1, 0.2] }],
    ["PNDMScheduler", { skip_prk_steps: false }],
    ["LCMScheduler", { original_inference_steps: 2000 }],
    ["LCMScheduler", { use_karas_sigmas: true }],
  ];
  test.for(refused)("%s refuses %o by name", ([_class_name, option]) => {
    const key = Object.keys(option)[0]!;
    const words = {
      solver_order: "solver_order",
      predict_x0: "predict_x0",
      algorithm_type: "algorithm_type|solver_order",
    } as Record<string, string>;
    expect(() => createScheduler({ _class_name, ...option })).toThrow(InputError);
    expect(() => createScheduler({ _class_name, ...option })).toThrow(new RegExp(words[key] ?? key));
  });

  test("ignores options of other classes, absent ones and metadata, as diffusers does", () => {
    const config = {
      _diffusers_version: "0.6.0.dev0",
      skip_prk_steps: true,
      set_alpha_to_one: false,
      trained_betas: null,
      future: null,
    };
    expect(planned({ _class_name: "UniPCMultistepScheduler", ...config }, 5).timesteps).toHaveLength(5);
    expect(
      planned({ _class_name: "DPMSolverMultistepScheduler", lambda_min_clipped: -Infinity, solver_type: "bh2" }, 5)
        .timesteps,
    ).toHaveLength(5);
  });

  test.for(Object.keys(SCHEDULER_NAMES))(
    "%s refuses 0, 1.5 and more steps than there are training timesteps",
    (name) => {
      const scheduler = tryonScheduler(
        { ...STABLE_DIFFUSION, num_train_timesteps: 100, original_inference_steps: 50 },
        name,
      );
      for (const steps of [0, -1, 1.5, NaN, 101])
        expect(() => scheduler.setTimesteps(steps)).toThrow("1 to 100 are possible");
      expect(scheduler.timesteps).toHaveLength(0);
    },
  );

  test("says why a number of steps does not fit", () => {
    const unipc = { _class_name: "UniPCMultistepScheduler", timestep_spacing: "leading" };
    expect(() => planned(unipc, 1000)).toThrow("1000 steps are too many: steps 0 and 1 share a noise level");
    expect(() => planned({ _class_name: "DDIMScheduler", steps_offset: 1 }, 1000)).toThrow(
      "timestep 1000 is not within 0 … 999",
    );
    expect(() => planned({ _class_name: "LCMScheduler" }, 51)).toThrow("original_inference_steps is 50");
  });

  test("trained_betas replace the formula", () => {
    const trained_betas = Array.from({ length: 10 }, (_, i) => 0.01 * (i + 1));
    const linear = { beta_schedule: "linear", beta_start: 0.01, beta_end: 0.1, num_train_timesteps: 10 };
    const [listed, formula] = [{ trained_betas, num_train_timesteps: 10 }, linear].map((config) =>
      planned({ _class_name: "EulerDiscreteScheduler", ...config }, 3),
    );
    expect(listed!.initNoiseSigma).toBeCloseTo(formula!.initNoiseSigma, 6);
  });

  test("the cosine schedule ends in noise", () => {
    const cosine = planned({ _class_name: "EulerDiscreteScheduler", beta_schedule: "squaredcos_cap_v2" }, 5);
    expect(cosine.initNoiseSigma).toBeGreaterThan(1e3);
  });
});

describe("schedules", () => {
  test("timesteps of the three spacings", () => {
    const spaced = (spacing: "linspace" | "leading" | "trailing", extra: 0 | 1 = 0) =>
      spacedTimesteps({ spacing, offset: spacing === "leading" ? 1 : 0 }, 1000, 4, { extra });
    expect(spaced("leading")).toEqual([751, 501, 251, 1]);
    expect(spaced("leading", 1)).toEqual([801, 601, 401, 201]);
    expect(spaced("trailing")).toEqual([999, 749, 499, 249]);
    expect(spaced("linspace")).toEqual([999, 666, 333, 0]);
    expect(spaced("linspace", 1)).toEqual([999, 749, 500, 250]); // 499.5 to even
  });

  test("rounds halves to even", () => {
    expect([0.5, 1.5, 2.5, 2.4, -0.5, 3].map(roundHalfEven)).toEqual([0, 2, 2, 2, -0, 3]);
  });

  test("interpolates within and holds outside", () => {
    const values = Float32Array.of(1, 3, 4);
    expect([-1, 0, 0.5, 1.5, 2, 9].map((at) => interpolate(values, at))).toEqual([1, 1, 2, 3.5, 4, 4]);
  });

  test("Karras sigmas run from the largest to the smallest", () => {
    const sigmas = karrasSigmas(0.1, 10, 5);
    expect(sigmas[0]).toBeCloseTo(10, 10);
    expect(sigmas[4]).toBeCloseTo(0.1, 10);
    expect(karrasSigmas(0.1, 10, 1)[0]).toBeCloseTo(10, 10);
  });
});

describe("update weights", () => {
  test("solve exchanges rows", () => {
    const x = solve([[0, 2, 1], [1, 1, 1], [3, 0, -1]], [7, 6, 0]); // prettier-ignore
    [1, 2, 3].forEach((value, i) => expect(x[i]).toBeCloseTo(value, 12));
  });

  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const [to, from, past] = [2, 3, [5, 9]];
  const [end, start] = [levelOfSigma(to), levelOfSigma(from)];

  test("an unchanging clean sample stays what it is, whatever the order", () => {
    for (const count of [0, 1, 2]) {
      for (const bh1 of [true, false])
        for (const corrector of [true, false]) {
          const weights = unifiedUpdate({ bh1, clean: true }, to, from, past.slice(0, count), corrector);
          expect(weights.sample * start.signal + sum(weights.outputs) + weights.newest).toBeCloseTo(end.signal, 12);
          expect(weights.sample * start.noise).toBeCloseTo(end.noise, 12);
        }
      const { sample, outputs } = dpmUpdate(to, from, past.slice(0, count), false, true);
      expect(sample * start.signal + sum(outputs)).toBeCloseTo(end.signal, 12);
    }
  });

  test("unchanging noise stays what it is where outputs are noise", () => {
    const weights = unifiedUpdate({ bh1: false, clean: false }, to, from, past, true);
    expect(weights.sample * start.noise + sum(weights.outputs) + weights.newest).toBeCloseTo(end.noise, 12);
  });

  test("the stochastic update keeps the noise's variance", () => {
    const { sample, outputs, noise } = dpmUpdate(to, from, [5], true, true);
    expect(sample * start.signal + sum(outputs)).toBeCloseTo(end.signal, 12);
    expect((sample * start.noise) ** 2 + noise ** 2).toBeCloseTo(end.noise ** 2, 12);
  });

  test("the last step to σ = 0 is the clean sample", () => {
    expect(dpmUpdate(0, 0.03, [], false, true)).toEqual({ sample: 0, outputs: [1], noise: 0 });
    const { sample, outputs } = unifiedUpdate({ bh1: true, clean: true }, 0, 0.03, [], false);
    expect([sample, outputs]).toEqual([0, [1]]);
  });
});
